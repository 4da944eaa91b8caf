// Small products of matrices in a core's first cache, the inner loops of attention.
//
//   Product({.data = q, .row_step = width}, kt, 64, rows, 64, width, s, 64, Write::replace);   // s = q . kt
//   Product({.data = p, .row_step = 1, .inner_step = 64}, ...);                                // p^T . x
//
// Every element is one chain of multiply-adds in ascending order of the inner index, whatever tile it falls
// in: a row's result does not depend on its neighbours. Included after hwy/highway.h, once per target. Any
// thread.
#if defined(AGORA_KERNELS_BLOCK_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AGORA_KERNELS_BLOCK_PRODUCT_INL_H_
#undef AGORA_KERNELS_BLOCK_PRODUCT_INL_H_
#else
#define AGORA_KERNELS_BLOCK_PRODUCT_INL_H_
#endif

#include <cstddef>

#include "agora/kernels/attention_softmax-inl.h"
#include "agora/kernels/matmul.h"
#include "agora/kernels/unroll.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace agora::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

constexpr int kTileVectors = 2;
constexpr size_t kTileRows = HWY_TARGET == HWY_AVX3 ? 8 : 4;  // 8 x 2 sums fit 32 registers, 4 x 2 fit 16

// Element (row, inner) of the left factor lies at data[row * row_step + inner * inner_step].
struct LeftFactor {
  const float* data;
  size_t row_step;
  size_t inner_step = 1;
};

template <size_t kRows, int kVectors>
HWY_INLINE void ProductTile(LeftFactor a, const float* b, size_t b_stride, size_t inner, float* c,
                            size_t c_stride, Write write) {
  const Floats d;
  const size_t lanes = hn::Lanes(d);
  hn::Vec<Floats> sum[kRows][kVectors];
  AGORA_UNROLL
  for (size_t r = 0; r < kRows; ++r) {
    AGORA_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      sum[r][v] = write == Write::add ? hn::LoadU(d, c + r * c_stride + v * lanes) : hn::Zero(d);
    }
  }
  for (size_t i = 0; i < inner; ++i) {
    hn::Vec<Floats> right[kVectors];
    AGORA_UNROLL
    for (int v = 0; v < kVectors; ++v) right[v] = hn::LoadU(d, b + i * b_stride + v * lanes);
    AGORA_UNROLL
    for (size_t r = 0; r < kRows; ++r) {
      const auto left = hn::Set(d, a.data[r * a.row_step + i * a.inner_step]);
      AGORA_UNROLL
      for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::MulAdd(left, right[v], sum[r][v]);
    }
  }
  AGORA_UNROLL
  for (size_t r = 0; r < kRows; ++r) {
    AGORA_UNROLL
    for (int v = 0; v < kVectors; ++v) hn::StoreU(sum[r][v], d, c + r * c_stride + v * lanes);
  }
}

template <size_t kRows>
HWY_INLINE void ProductRows(LeftFactor a, const float* b, size_t b_stride, size_t cols, size_t inner,
                            float* c, size_t c_stride, Write write) {
  const size_t lanes = hn::Lanes(Floats());
  size_t col = 0;
  for (; col + kTileVectors * lanes <= cols; col += kTileVectors * lanes) {
    ProductTile<kRows, kTileVectors>(a, b + col, b_stride, inner, c + col, c_stride, write);
  }
  for (; col < cols; col += lanes)
    ProductTile<kRows, 1>(a, b + col, b_stride, inner, c + col, c_stride, write);
}

// c[rows, cols] (=, +=) a[rows, inner] . b[inner, cols]. cols is a multiple of 16.
HWY_INLINE void Product(LeftFactor a, const float* b, size_t b_stride, size_t rows, size_t cols, size_t inner,
                        float* c, size_t c_stride, Write write) {
  size_t row = 0;
  for (; row + kTileRows <= rows; row += kTileRows) {
    ProductRows<kTileRows>({a.data + row * a.row_step, a.row_step, a.inner_step}, b, b_stride, cols, inner,
                           c + row * c_stride, c_stride, write);
  }
  for (; row < rows; ++row) {
    ProductRows<1>({a.data + row * a.row_step, a.row_step, a.inner_step}, b, b_stride, cols, inner,
                   c + row * c_stride, c_stride, write);
  }
}

// to[cols, rows] = from[rows, cols]^T. Blocks of 4 x 4 in registers where vectors have 4 numbers.
HWY_INLINE void Transpose(const float* from, size_t from_stride, size_t rows, size_t cols, float* to,
                          size_t to_stride) {
  size_t whole_rows = 0, whole_cols = 0;
#if HWY_TARGET != HWY_SCALAR
  whole_rows = rows / 4 * 4;
  whole_cols = cols / 4 * 4;
  const hn::FixedTag<float, 4> d;
  const hn::FixedTag<double, 2> pairs;
  for (size_t r = 0; r < whole_rows; r += 4) {
    for (size_t c = 0; c < whole_cols; c += 4) {
      const float* p = from + r * from_stride + c;
      const auto r0 = hn::LoadU(d, p), r1 = hn::LoadU(d, p + from_stride);
      const auto r2 = hn::LoadU(d, p + 2 * from_stride), r3 = hn::LoadU(d, p + 3 * from_stride);
      const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, r0, r1));
      const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, r0, r1));
      const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, r2, r3));
      const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, r2, r3));
      float* q = to + c * to_stride + r;
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, low01, low23)), d, q);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, low01, low23)), d, q + to_stride);
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, high01, high23)), d, q + 2 * to_stride);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, high01, high23)), d, q + 3 * to_stride);
    }
  }
#endif
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = r < whole_rows ? whole_cols : 0; c < cols; ++c)
      to[c * to_stride + r] = from[r * from_stride + c];
  }
}

}  // namespace agora::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
