#include <algorithm>
#include <cmath>

#include "agora/kernels/highway_targets.h"
#include "agora/kernels/row_ops.h"
#include "agora/tensor/buffer.h"

// The order of these is their meaning.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "agora/kernels/rms_norm.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "agora/kernels/vector_math-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace agora::kernels::HWY_NAMESPACE {

void RmsNormRow(const float* x, const float* gain, size_t n, float epsilon, float* y, float* inverse) {
  const hn::ScalableTag<float> d;
  auto squares = hn::Zero(d);
  ForEachVector(d, n, [&](size_t i, auto part) HWY_ATTR {
    const auto v = Get(d, x + i, part);
    squares = hn::MulAdd(v, v, squares);
  });
  const float r = 1.0f / std::sqrt(SumAcross(d, squares) / static_cast<float>(n) + epsilon);
  const auto rs = hn::Set(d, r);
  ForEachVector(d, n, [&](size_t i, auto part) HWY_ATTR {
    Put(d, hn::Mul(hn::Mul(Get(d, x + i, part), rs), Get(d, gain + i, part)), y + i, part);
  });
  if (inverse != nullptr) *inverse = r;
}

// With s = sum(dy gain x):  dx = r gain dy - x s r^3 / n;  dgain += dy x r. dx may be dy.
void RmsNormBackwardRow(const float* x, const float* gain, const float* dy, size_t n, float r, float* dx,
                        bool add, float* dgain) {
  const hn::ScalableTag<float> d;
  auto dot = hn::Zero(d);
  ForEachVector(d, n, [&](size_t i, auto part) HWY_ATTR {
    dot = hn::MulAdd(hn::Mul(Get(d, dy + i, part), Get(d, gain + i, part)), Get(d, x + i, part), dot);
  });
  const auto rs = hn::Set(d, r);
  const auto pull = hn::Set(d, SumAcross(d, dot) * r * r * r / static_cast<float>(n));
  ForEachVector(d, n, [&](size_t i, auto part) HWY_ATTR {
    const auto xs = Get(d, x + i, part);
    const auto scaled = hn::Mul(Get(d, dy + i, part), rs);
    const auto g = hn::NegMulAdd(xs, pull, hn::Mul(scaled, Get(d, gain + i, part)));
    Put(d, hn::MulAdd(scaled, xs, Get(d, dgain + i, part)), dgain + i, part);
    Put(d, add ? hn::Add(Get(d, dx + i, part), g) : g, dx + i, part);
  });
}

}  // namespace agora::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace agora::kernels {
namespace {

HWY_EXPORT(RmsNormRow);
HWY_EXPORT(RmsNormBackwardRow);

// Rows of one piece: enough work to be worth handing out. A function of the width alone, so that blocks of
// rows, and with them the sums over rows, do not depend on the number of threads.
int64_t rows_of_piece(int64_t width) { return std::max<int64_t>(8, 16384 / std::max<int64_t>(width, 1)); }

}  // namespace

void rms_norm_forward(const Compute& compute, View<const float> x, std::span<const float> gain, float epsilon,
                      View<float> y, std::span<float> inverse) {
  AGORA_CHECK_EQ(x.cols, static_cast<int64_t>(gain.size()));
  AGORA_CHECK(y.rows == x.rows && y.cols == x.cols);
  AGORA_CHECK(inverse.empty() || static_cast<int64_t>(inverse.size()) == x.rows);
  compute.pool->run_ranges(x.rows, rows_of_piece(x.cols), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      float* kept = inverse.empty() ? nullptr : &inverse[t];
      HWY_DYNAMIC_DISPATCH(RmsNormRow)(x.row(t), gain.data(), gain.size(), epsilon, y.row(t), kept);
    }
  });
}

void rms_norm_backward(const Compute& compute, View<const float> x, std::span<const float> gain,
                       std::span<const float> inverse, View<const float> dy, View<float> dx, Write write,
                       std::span<float> dgain) {
  AGORA_CHECK_EQ(x.cols, static_cast<int64_t>(gain.size()));
  AGORA_CHECK_EQ(gain.size(), dgain.size());
  AGORA_CHECK_EQ(x.rows, static_cast<int64_t>(inverse.size()));
  AGORA_CHECK(dy.rows == x.rows && dy.cols == x.cols && dx.rows == x.rows && dx.cols == x.cols);
  const int64_t grain = rows_of_piece(x.cols);
  tensor::Buffer<float> partial((x.rows + grain - 1) / grain, x.cols, Purpose::scratch);
  compute.pool->run_ranges(x.rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      HWY_DYNAMIC_DISPATCH(RmsNormBackwardRow)
      (x.row(t), gain.data(), dy.row(t), gain.size(), inverse[t], dx.row(t), write == Write::add,
       partial.row(begin / grain));
    }
  });
  for (int64_t block = 0; block < partial.rows(); ++block) {
    for (size_t i = 0; i < dgain.size(); ++i) dgain[i] += partial.row(block)[i];
  }
}

}  // namespace agora::kernels
#endif
