#include "agora/moe/kept_rows.h"

#include <algorithm>

#include "agora/kernels/row_ops.h"
#include "agora/kernels/table.h"

namespace agora::moe {
namespace {

constexpr int64_t kRowsPerPiece = 128;

}  // namespace

void KeptRows::keep(const kernels::Compute& compute, tensor::View<const float> x) {
  rounded_ = compute.precision == kernels::Precision::bf16;
  const tensor::View<float> f32 = f32_.shape(rounded_ ? 0 : x.rows, x.cols);
  const tensor::View<tensor::bf16> bf16 = bf16_.shape(rounded_ ? x.rows : 0, x.cols);
  compute.pool->run_ranges(x.rows, kRowsPerPiece, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      if (rounded_) {
        compute.table->loops<tensor::bf16>().round(x.row(r), x.cols, x.cols, bf16.row(r));
      } else {
        std::copy_n(x.row(r), x.cols, f32.row(r));
      }
    }
  });
}

tensor::View<const float> KeptRows::rows(const kernels::Compute& compute, BatchRows<float>& scratch) const {
  if (!rounded_) return f32_.view();
  const tensor::View<const tensor::bf16> from = bf16_.view();
  const tensor::View<float> to = scratch.shape(from.rows, from.cols);
  compute.pool->run_ranges(from.rows, kRowsPerPiece, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      kernels::widen(from.row(r), from.cols, to.row(r));
    }
  });
  return to;
}

}  // namespace agora::moe
