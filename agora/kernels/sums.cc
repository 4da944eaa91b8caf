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

void SumRows(const float* const* rows, size_t count, float* y, size_t n) {
  const hn::ScalableTag<float> d;
  ForEachVector(d, n, [&](size_t i, auto part) HWY_ATTR {
    auto sum = hn::Zero(d);
    for (size_t r = 0; r < count; ++r) sum = hn::Add(sum, Get(d, rows[r] + i, part));
    Put(d, sum, y + i, part);
  });
}

// On bits: NaN and infinity are the patterns from 0x7f800000 up, and a running maximum of integers needs no
// branch.
bool AllFinite(const float* x, size_t n) {
  const hn::ScalableTag<float> d;
  const hn::Rebind<int32_t, decltype(d)> di;
  auto largest = hn::Zero(di);
  ForEachVector(d, n, [&](size_t i, auto part) HWY_ATTR {
    largest = hn::Max(largest, hn::BitCast(di, hn::Abs(Get(d, x + i, part))));
  });
  return hn::GetLane(hn::MaxOfLanes(di, largest)) < 0x7f800000;
}

void Widen(const uint16_t* x, size_t n, float* y) {
  const hn::ScalableTag<float> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const hn::Rebind<uint16_t, decltype(d)> d16;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(d16, x + i)))), d, y + i);
  }
  for (; i < n; ++i) y[i] = tensor::to_float(tensor::bf16{x[i]});
}

}  // namespace agora::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace agora::kernels {
namespace {

HWY_EXPORT(AddRow);
HWY_EXPORT(SumRows);
HWY_EXPORT(AllFinite);
HWY_EXPORT(Widen);

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

void sum_rows(std::span<const float* const> rows, int64_t n, float* y) {
  HWY_DYNAMIC_DISPATCH(SumRows)(rows.data(), rows.size(), y, static_cast<size_t>(n));
}

bool all_finite(const float* x, int64_t n) {
  return HWY_DYNAMIC_DISPATCH(AllFinite)(x, static_cast<size_t>(n));
}

void widen(const tensor::bf16* x, int64_t n, float* y) {
  HWY_DYNAMIC_DISPATCH(Widen)(reinterpret_cast<const uint16_t*>(x), static_cast<size_t>(n), y);
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
