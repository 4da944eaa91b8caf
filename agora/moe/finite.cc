#include "agora/moe/finite.h"

#include <atomic>

#include "agora/kernels/row_ops.h"

namespace agora::moe {
namespace {

constexpr int64_t kRowsPerPiece = 128;

}  // namespace

int64_t first_row_not_finite(const kernels::Compute& compute, tensor::View<const float> x) {
  std::atomic<int64_t> first = x.rows;
  compute.pool->run_ranges(x.rows, kRowsPerPiece, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      if (kernels::all_finite(x.row(r), x.cols)) continue;
      int64_t known = first.load();
      while (r < known && !first.compare_exchange_weak(known, r)) {
      }
      return;
    }
  });
  return first.load();
}

}  // namespace agora::moe
