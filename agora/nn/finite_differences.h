// Gradients of layers held against differences of the loss, for the tests of layers.
//
//   Numbers n(rng);                                              // tables, threads, random matrices
//   expect_gradient(x.flat(), dx.flat(), [&] { return loss(); });
//
// Tests only.
#pragma once

#include <cmath>
#include <span>

#include "absl/functional/function_ref.h"
#include "agora/base/rng.h"
#include "agora/kernels/table.h"
#include "agora/tensor/buffer.h"
#include <gtest/gtest.h>

namespace agora::nn {

using tensor::Buffer;
using tensor::Purpose;
using tensor::View;

inline Buffer<float> random_matrix(Rng& rng, int64_t rows, int64_t cols, float deviation = 1.0f) {
  Buffer<float> result(rows, cols, Purpose::scratch);
  for (float& x : result.flat()) x = deviation * rng.normal();
  return result;
}

inline double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * b[i];
  return sum;
}

// For every x[i]: (loss(x[i] + step) - loss(x[i] - step)) / (2 step) is near gradient[i]. Losses come from
// f32 forward passes, so the step is wide and the bound is loose: a wrong factor or a missing term is far
// outside it.
inline void expect_gradient(std::span<float> x, std::span<const float> gradient,
                            absl::FunctionRef<double()> loss, float step = 1e-2f, double tolerance = 3e-3) {
  ASSERT_EQ(x.size(), gradient.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const float kept = x[i];
    x[i] = kept + step;
    const double above = loss();
    x[i] = kept - step;
    const double below = loss();
    x[i] = kept;
    const double slope = (above - below) / (2.0 * step);
    ASSERT_NEAR(slope, gradient[i], tolerance * (1.0 + std::abs(slope))) << "number " << i;
  }
}

}  // namespace agora::nn
