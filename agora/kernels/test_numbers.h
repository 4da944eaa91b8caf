// Numbers for the tests of kernels: random matrices and comparisons that say where two of them differ.
//
//   Buffer<float> x = random_matrix(rng, T, D);
//   expect_near(x.view(), y.view(), 1e-5f);      expect_same_bits(x.view(), y.view());
//   for_each_target([&] { ... });                // once for every one of Highway's targets that runs here
//
// Tests only.
#pragma once

#include <bit>
#include <cmath>

#include "agora/base/rng.h"
#include "agora/kernels/highway_targets.h"
#include "agora/tensor/buffer.h"
#include "agora/tensor/view.h"
#include "hwy/targets.h"
#include <gtest/gtest.h>

namespace agora::kernels {

inline tensor::Buffer<float> random_matrix(Rng& rng, int64_t rows, int64_t cols, float deviation = 1.0f) {
  tensor::Buffer<float> result(rows, cols, tensor::Purpose::scratch);
  for (float& x : result.flat()) x = deviation * rng.normal();
  return result;
}

// |a - b| <= tolerance * (1 + |b|), for every number.
inline void expect_near(tensor::View<const float> a, tensor::View<const float> b, float tolerance) {
  ASSERT_EQ(a.rows, b.rows);
  ASSERT_EQ(a.cols, b.cols);
  for (int64_t r = 0; r < a.rows; ++r) {
    for (int64_t c = 0; c < a.cols; ++c) {
      const float bound = tolerance * (1.0f + std::abs(b.row(r)[c]));
      ASSERT_LE(std::abs(a.row(r)[c] - b.row(r)[c]), bound)
          << "row " << r << " col " << c << ": " << a.row(r)[c] << " vs. " << b.row(r)[c];
    }
  }
}

inline void expect_same_bits(tensor::View<const float> a, tensor::View<const float> b) {
  ASSERT_EQ(a.rows, b.rows);
  ASSERT_EQ(a.cols, b.cols);
  for (int64_t r = 0; r < a.rows; ++r) {
    for (int64_t c = 0; c < a.cols; ++c) {
      ASSERT_EQ(std::bit_cast<uint32_t>(a.row(r)[c]), std::bit_cast<uint32_t>(b.row(r)[c]))
          << "row " << r << " col " << c << ": " << a.row(r)[c] << " vs. " << b.row(r)[c];
    }
  }
}

template <class Body>
void for_each_target(const Body& body) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::GetChosenTarget().Update(target);
    body();
  }
  hwy::GetChosenTarget().DeInit();  // the next call chooses anew
}

}  // namespace agora::kernels
