// What the tests of this folder share: a Compute, random rows, and gradients checked by finite differences.
//
//   TestCompute machine(2, Precision::f32);   machine.compute
//   expect_gradient("weight", values, gradient, loss);
//
// Tests only.
#pragma once

#include <cmath>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "agora/base/rng.h"
#include "agora/kernels/table.h"
#include "agora/kernels/workspace.h"
#include "agora/moe/route.h"
#include "agora/tensor/buffer.h"
#include <gtest/gtest.h>

namespace agora::moe {

struct TestCompute {
  explicit TestCompute(int threads = 2, kernels::Precision precision = kernels::Precision::f32)
      : pool(threads), compute{&kernels::best_table(kernels::cpu_features()), &pool, precision, &workspace} {}
  base::ThreadPool pool;
  kernels::Workspace workspace;
  kernels::Compute compute;
};

inline tensor::Buffer<float> random_rows(Rng& rng, int64_t rows, int64_t cols, float deviation = 1.0f) {
  tensor::Buffer<float> result(rows, cols, tensor::Purpose::scratch);
  for (float& value : result.flat()) value = deviation * rng.normal();
  return result;
}

inline double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

// Compares gradient . direction with the slope of loss() along it, for some random directions. The slope is
// the five-point difference, whose error falls with h^4, so that h can be wide enough for losses rounded to
// f32.
inline void expect_gradient(const std::string& what, std::span<float> values, std::span<const float> gradient,
                            const std::function<double()>& loss, double tolerance = 2e-3, float h = 0.01f) {
  ASSERT_EQ(values.size(), gradient.size()) << what;
  const std::vector<float> start(values.begin(), values.end());
  Rng rng(values.size());
  for (int trial = 0; trial < 4; ++trial) {
    std::vector<float> direction(values.size());
    for (float& d : direction) d = rng.normal() / std::sqrt(static_cast<float>(values.size()));
    auto at = [&](float factor) {
      for (size_t i = 0; i < start.size(); ++i) values[i] = start[i] + factor * h * direction[i];
      return loss();
    };
    const double slope = (8.0 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12.0 * h);
    const double expected = dot(gradient, direction);
    std::copy(start.begin(), start.end(), values.begin());
    EXPECT_NEAR(slope, expected, tolerance * (0.05 + std::abs(slope) + std::abs(expected)))
        << what << ", direction " << trial;
  }
}

inline std::vector<int32_t> experts_of(const Route& route, int64_t t) {
  return {route.expert.begin() + route.first[t], route.expert.begin() + route.first[t + 1]};
}
inline std::vector<float> weights_of(const Route& route, int64_t t) {
  return {route.weight.begin() + route.first[t], route.weight.begin() + route.first[t + 1]};
}

// A route of `tokens` tokens that choose `chosen` different experts at random.
inline Route random_route(Rng& rng, int64_t tokens, int64_t experts, int64_t chosen) {
  Route route;
  route.first.push_back(0);
  for (int64_t t = 0; t < tokens; ++t) {
    int64_t left = chosen;
    for (int64_t e = 0; e < experts && left > 0; ++e) {
      if (rng.below(static_cast<uint32_t>(experts - e)) >= static_cast<uint32_t>(left)) continue;
      route.expert.push_back(static_cast<int32_t>(e));
      route.weight.push_back(0.1f + rng.uniform());
      --left;
    }
    route.first.push_back(static_cast<int32_t>(route.expert.size()));
  }
  return route;
}

}  // namespace agora::moe
