#include "agora/kernels/adamw_step.h"

#include <cmath>

#include "agora/base/check.h"
#include "agora/kernels/highway_targets.h"
#include "agora/tensor/buffer.h"

// The order of these is their meaning.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "agora/kernels/adamw_step.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "agora/kernels/vector_math-inl.h"
// clang-format on

namespace agora::kernels {
#ifndef AGORA_KERNELS_ADAMW_FACTORS_
#define AGORA_KERNELS_ADAMW_FACTORS_
// The settings as the inner loop wants them: w = w * keep - rate * m / (sqrt(v) * root_scale + epsilon).
struct AdamWFactors {
  float beta1, beta2, epsilon, gradient_scale;
  float keep;        // 1 - learning_rate * weight_decay
  float rate;        // learning_rate / (1 - beta1^step)
  float root_scale;  // 1 / sqrt(1 - beta2^step)
};
#endif
}  // namespace agora::kernels

HWY_BEFORE_NAMESPACE();
namespace agora::kernels::HWY_NAMESPACE {

void AdamWRange(const AdamWFactors& f, size_t n, float* w, const float* gradient, float* first,
                float* second) {
  const hn::ScalableTag<float> d;
  const auto beta1 = hn::Set(d, f.beta1), rest1 = hn::Set(d, 1.0f - f.beta1);
  const auto beta2 = hn::Set(d, f.beta2), rest2 = hn::Set(d, 1.0f - f.beta2);
  const auto gradient_scale = hn::Set(d, f.gradient_scale), epsilon = hn::Set(d, f.epsilon);
  const auto keep = hn::Set(d, f.keep), rate = hn::Set(d, f.rate), root_scale = hn::Set(d, f.root_scale);
  ForEachVector(d, n, [&](size_t i, auto part) HWY_ATTR {
    const auto g = hn::Mul(Get(d, gradient + i, part), gradient_scale);
    const auto m = hn::MulAdd(beta1, Get(d, first + i, part), hn::Mul(rest1, g));
    const auto v = hn::MulAdd(beta2, Get(d, second + i, part), hn::Mul(rest2, hn::Mul(g, g)));
    const auto move = hn::Div(hn::Mul(rate, m), hn::MulAdd(hn::Sqrt(v), root_scale, epsilon));
    Put(d, m, first + i, part);
    Put(d, v, second + i, part);
    Put(d, hn::Sub(hn::Mul(Get(d, w + i, part), keep), move), w + i, part);
  });
}

double SumOfSquaresRange(const float* x, size_t n) {
  const hn::ScalableTag<double> dd;
  const hn::Rebind<float, decltype(dd)> d;
  auto even = hn::Zero(dd), odd = hn::Zero(dd);  // two sums hide the latency of the addition
  const auto square = [&](size_t i, auto part, auto sum) HWY_ATTR {
    const auto v = hn::PromoteTo(dd, Get(d, x + i, part));
    return hn::MulAdd(v, v, sum);
  };
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    even = square(i, Whole{}, even);
    odd = square(i + lanes, Whole{}, odd);
  }
  for (; i < n; i += lanes) even = square(i, Part{HWY_MIN(lanes, n - i)}, even);
  return hn::GetLane(hn::SumOfLanes(dd, hn::Add(even, odd)));
}

}  // namespace agora::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace agora::kernels {
namespace {

HWY_EXPORT(AdamWRange);
HWY_EXPORT(SumOfSquaresRange);

constexpr int64_t kNumbersOfPiece = 16384;  // 64 KiB of each array

}  // namespace

void adamw_step(const Compute& compute, const AdamWSettings& settings, int64_t step, std::span<float> weights,
                std::span<const float> gradient, std::span<float> first, std::span<float> second) {
  AGORA_CHECK_GE(step, 1);
  AGORA_CHECK(gradient.size() == weights.size() && first.size() == weights.size() &&
              second.size() == weights.size());
  const auto power = static_cast<double>(step);
  const AdamWFactors factors{
      .beta1 = settings.beta1,
      .beta2 = settings.beta2,
      .epsilon = settings.epsilon,
      .gradient_scale = settings.gradient_scale,
      .keep = 1.0f - settings.learning_rate * settings.weight_decay,
      .rate = static_cast<float>(settings.learning_rate / (1.0 - std::pow(double{settings.beta1}, power))),
      .root_scale = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(double{settings.beta2}, power)))};
  const auto n = static_cast<int64_t>(weights.size());
  compute.pool->run_ranges(n, kNumbersOfPiece, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(AdamWRange)
    (factors, static_cast<size_t>(end - begin), weights.data() + begin, gradient.data() + begin,
     first.data() + begin, second.data() + begin);
  });
}

double sum_of_squares(const Compute& compute, std::span<const float> x) {
  const auto n = static_cast<int64_t>(x.size());
  tensor::Buffer<double> sums(1, (n + kNumbersOfPiece - 1) / kNumbersOfPiece, tensor::Purpose::scratch);
  compute.pool->run_ranges(n, kNumbersOfPiece, [&](int64_t begin, int64_t end) {
    const auto count = static_cast<size_t>(end - begin);
    sums.data()[begin / kNumbersOfPiece] = HWY_DYNAMIC_DISPATCH(SumOfSquaresRange)(x.data() + begin, count);
  });
  double total = 0;
  for (const double sum : sums.flat()) total += sum;
  return total;
}

}  // namespace agora::kernels
#endif
