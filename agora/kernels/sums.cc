#include <algorithm>

#include "agora/kernels/highway_targets.h"
#include "agora/kernels/row_ops.h"
#include "agora/tensor/buffer.h"

// The order of these is their meaning.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "agora/kernels/sums.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "agora/kernels/vector_math-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace agora::kernels::HWY_NAMESPACE {

void AddRow(const float* x, float* y, size_t n) {
  const hn::ScalableTag<float> d;
  ForEachVector(d, n, [&](size_t i, auto part) HWY_ATTR {
    Put(d, hn::Add(Get(d, y + i, part), Get(d, x + i, part)), y + i, part);
  });
}

}  // namespace agora::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace agora::kernels {
namespace {

HWY_EXPORT(AddRow);

constexpr int64_t kElementsOfPiece = 16384;  // below this, handing a piece to a thread costs more than adding
constexpr int64_t kColumnsOfPiece = 64;      // of an embedding's gradient: four cache lines of each row

int64_t rows_of_piece(int64_t width) {
  return std::max<int64_t>(1, kElementsOfPiece / std::max<int64_t>(width, 1));
}

}  // namespace

void add(const Compute& compute, View<const float> x, View<float> y) {
  AGORA_CHECK(x.rows == y.rows && x.cols == y.cols);
  compute.pool->run_ranges(x.rows, rows_of_piece(x.cols), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      HWY_DYNAMIC_DISPATCH(AddRow)(x.row(t), y.row(t), static_cast<size_t>(x.cols));
  });
}

void add_bias(const Compute& compute, std::span<const float> bias, View<float> y) {
  AGORA_CHECK_EQ(y.cols, static_cast<int64_t>(bias.size()));
  compute.pool->run_ranges(y.rows, rows_of_piece(y.cols), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) HWY_DYNAMIC_DISPATCH(AddRow)(bias.data(), y.row(t), bias.size());
  });
}

void add_bias_backward(const Compute& compute, View<const float> dy, std::span<float> dbias) {
  AGORA_CHECK_EQ(dy.cols, static_cast<int64_t>(dbias.size()));
  const int64_t grain = rows_of_piece(dy.cols);
  tensor::Buffer<float> partial((dy.rows + grain - 1) / grain, dy.cols, Purpose::scratch);
  compute.pool->run_ranges(dy.rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      HWY_DYNAMIC_DISPATCH(AddRow)(dy.row(t), partial.row(begin / grain), dbias.size());
    }
  });
  for (int64_t block = 0; block < partial.rows(); ++block) {
    HWY_DYNAMIC_DISPATCH(AddRow)(partial.row(block), dbias.data(), dbias.size());
  }
}

void embedding_forward(const Compute& compute, View<const float> table, std::span<const int32_t> ids,
                       View<float> y) {
  AGORA_CHECK(y.rows == static_cast<int64_t>(ids.size()) && y.cols == table.cols);
  compute.pool->run_ranges(y.rows, rows_of_piece(y.cols), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      AGORA_CHECK(ids[t] >= 0 && ids[t] < table.rows);
      std::copy_n(table.row(ids[t]), table.cols, y.row(t));
    }
  });
}

// Pieces are columns: every piece visits the rows in the same order.
void embedding_backward(const Compute& compute, View<const float> dy, std::span<const int32_t> ids,
                        View<float> dtable) {
  AGORA_CHECK(dy.rows == static_cast<int64_t>(ids.size()) && dy.cols == dtable.cols);
  compute.pool->run_ranges(dy.cols, kColumnsOfPiece, [&](int64_t begin, int64_t end) {
    for (int64_t t = 0; t < dy.rows; ++t) {
      AGORA_CHECK(ids[t] >= 0 && ids[t] < dtable.rows);
      HWY_DYNAMIC_DISPATCH(AddRow)
      (dy.row(t) + begin, dtable.row(ids[t]) + begin, static_cast<size_t>(end - begin));
    }
  });
}

}  // namespace agora::kernels
#endif
