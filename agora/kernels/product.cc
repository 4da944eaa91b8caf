#include "agora/kernels/product.h"

namespace agora::kernels {
namespace {

// Products of a group of panels with one block of rows. Few rows count as 16: then reading the weights is the
// work.
int64_t group_products(const Job& job) {
  return std::clamp<int64_t>(job.rows, 16, kBlockRows) * std::max<int64_t>(1, job.inner) * kTileWidth;
}

}  // namespace

std::vector<Piece> cut(std::span<const Job> jobs, int threads) {
  constexpr int64_t kPieceProducts = 4'000'000;  // about 20 us, which hides the cost of taking a piece
  constexpr int64_t kPieceInner =
      int64_t{1} << 21;  // elements of weights that row blocks read again from the last cache
  constexpr int64_t kSharesPerThread = 4;  // of what is left, when a piece is cut
  int64_t left = 0;
  for (const Job& job : jobs) {
    left += group_products(job) * blocks_of(job.panels, kGroupPanels) * blocks_of(job.rows, kBlockRows);
  }
  std::vector<Piece> pieces;
  for (size_t j = 0; j < jobs.size(); ++j) {
    const Job& job = jobs[j];
    const int64_t row_blocks = blocks_of(job.rows, kBlockRows);
    const int64_t groups_max =
        std::max<int64_t>(1, kPieceInner / std::max<int64_t>(1, job.inner * kTileWidth));
    for (int64_t panel = 0; panel < job.panels;) {
      const int64_t wanted = std::max(kPieceProducts, left / (kSharesPerThread * threads));
      const int64_t groups = std::clamp<int64_t>(wanted / group_products(job), 1, groups_max);
      const int64_t end = std::min(panel + groups * kGroupPanels, job.panels);
      for (int64_t row = 0; row < job.rows; row += kBlockRows) {
        pieces.push_back({static_cast<int32_t>(j), static_cast<int32_t>(row),
                          static_cast<int32_t>(std::min(kBlockRows, job.rows - row)),
                          static_cast<int32_t>(panel), static_cast<int32_t>(end)});
      }
      left -= group_products(job) * groups * row_blocks;
      panel = end;
    }
  }
  return pieces;
}

std::vector<Piece> cut_rows(std::span<const Job> jobs, int64_t block) {
  std::vector<Piece> pieces;
  for (size_t j = 0; j < jobs.size(); ++j) {
    for (int64_t row = 0; row < jobs[j].rows; row += block) {
      pieces.push_back({static_cast<int32_t>(j), static_cast<int32_t>(row),
                        static_cast<int32_t>(std::min(block, jobs[j].rows - row)), 0,
                        static_cast<int32_t>(jobs[j].panels)});
    }
  }
  return pieces;
}

}  // namespace agora::kernels
