#include <cmath>
#include <limits>
#include <vector>

#include "agora/kernels/highway_targets.h"
#include "agora/kernels/test_numbers.h"
#include <gtest/gtest.h>

// The order of these is their meaning.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "agora/kernels/vector_math_test.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "agora/kernels/vector_math-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace agora::kernels::HWY_NAMESPACE {

void ExpAll(const float* x, size_t n, float* y) {
  const hn::ScalableTag<float> d;
  ForEachVector(d, n,
                [&](size_t i, auto part) HWY_ATTR { Put(d, Exp(d, Get(d, x + i, part)), y + i, part); });
}

}  // namespace agora::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace agora::kernels {
namespace {

HWY_EXPORT(ExpAll);

float exp_of(float x) {
  float y = 0;
  HWY_DYNAMIC_DISPATCH(ExpAll)(&x, 1, &y);
  return y;
}

TEST(VectorExp, WithinTwoUnitsInTheLastPlace) {
  std::vector<float> x;
  for (float v = -86.5f; v < 88.7f; v += 0.00137f) x.push_back(v);
  for (float v = 1e-8f; v < 1.0f; v *= 1.01f) x.insert(x.end(), {v, -v});
  for_each_target([&] {
    std::vector<float> y(x.size());
    HWY_DYNAMIC_DISPATCH(ExpAll)(x.data(), x.size(), y.data());
    for (size_t i = 0; i < x.size(); ++i) {
      const double exact = std::exp(double{x[i]});
      const auto rounded = static_cast<float>(exact);
      const double unit = std::nextafter(rounded, std::numeric_limits<float>::infinity()) - rounded;
      ASSERT_LE(std::abs(y[i] - exact), 2.0 * unit) << x[i];
    }
  });
}

TEST(VectorExp, Edges) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for_each_target([&] {
    EXPECT_EQ(exp_of(0.0f), 1.0f);
    EXPECT_EQ(exp_of(-0.0f), 1.0f);
    EXPECT_EQ(exp_of(-kInfinity), 0.0f);
    EXPECT_EQ(exp_of(-200.0f), 0.0f);
    EXPECT_GT(exp_of(kInfinity), 3.4e38f);
    EXPECT_GT(exp_of(100.0f), 3.4e38f);
    EXPECT_TRUE(std::isnan(exp_of(std::numeric_limits<float>::quiet_NaN())));
  });
}

// Nothing beyond the tail is read or written (the sanitizers look on).
TEST(VectorTail, TouchesOnlyItsNumbers) {
  for_each_target([&] {
    for (size_t n = 0; n < 40; ++n) {
      const std::vector<float> x(n, 0.0f);
      std::vector<float> y(n + 1, 7.0f);
      HWY_DYNAMIC_DISPATCH(ExpAll)(x.data(), n, y.data());
      for (size_t i = 0; i < n; ++i) EXPECT_EQ(y[i], 1.0f);
      EXPECT_EQ(y[n], 7.0f);
    }
  });
}

}  // namespace
}  // namespace agora::kernels
#endif
