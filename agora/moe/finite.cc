#include "agora/moe/finite.h"

#include <algorithm>
#include <atomic>
#include <bit>

namespace agora::moe {
namespace {

constexpr int64_t kRowsPerPiece = 128;

// On bits: NaN and infinity are the patterns from 0x7f800000 up, and a running maximum of integers needs no
// branch.
bool row_finite(const float* row, int64_t d) {
  uint32_t largest = 0;
  for (int64_t i = 0; i < d; ++i) largest = std::max(largest, std::bit_cast<uint32_t>(row[i]) & 0x7fffffffu);
  return largest < 0x7f800000u;
}

}  // namespace

int64_t first_row_not_finite(const kernels::Compute& compute, tensor::View<const float> x) {
  std::atomic<int64_t> first = x.rows;
  compute.pool->run_ranges(x.rows, kRowsPerPiece, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      if (row_finite(x.row(r), x.cols)) continue;
      int64_t known = first.load();
      while (r < known && !first.compare_exchange_weak(known, r)) {
      }
      return;
    }
  });
  return first.load();
}

}  // namespace agora::moe
