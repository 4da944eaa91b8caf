#include "agora/moe/missing.h"

#include <cmath>

#include "agora/base/check.h"

namespace agora::moe {
namespace {

// An arrived share of the weights below this is none: scaled up, its sum would be mostly rounding errors, and
// the factor overflows where a weight is denormal.
constexpr float kArrivedShareMin = 1e-6f;

struct Weights {
  float all = 0.0f;
  float arrived = 0.0f;
};

Weights weights_of(const Route& route, std::span<const uint8_t> arrived, int64_t t) {
  Weights sum;
  for (int32_t i = route.first[t]; i < route.first[t + 1]; ++i) {
    sum.all += route.weight[i];
    if (arrived[i] != 0) sum.arrived += route.weight[i];
  }
  return sum;
}

bool all_arrived(std::span<const uint8_t> arrived) {
  for (const uint8_t a : arrived) {
    if (a == 0) return false;
  }
  return true;
}

}  // namespace

std::vector<float> missing_scale(const Route& route, std::span<const uint8_t> arrived) {
  AGORA_CHECK_EQ(static_cast<int64_t>(arrived.size()), route.choices());
  if (!route.normalised || all_arrived(arrived)) return {};
  std::vector<float> scale(static_cast<size_t>(route.tokens()), 1.0f);
  for (int64_t t = 0; t < route.tokens(); ++t) {
    const Weights sum = weights_of(route, arrived, t);
    const bool some = std::abs(sum.arrived) > kArrivedShareMin * std::abs(sum.all);
    if (some && sum.arrived != sum.all) scale[t] = sum.all / sum.arrived;
  }
  return scale;
}

void scale_rows(const kernels::Compute& compute, std::span<const float> scale, tensor::View<const float> from,
                tensor::View<float> to) {
  AGORA_CHECK_EQ(static_cast<int64_t>(scale.size()), from.rows);
  compute.pool->run_ranges(from.rows, 128, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t d = 0; d < from.cols; ++d) to.row(t)[d] = scale[t] * from.row(t)[d];
    }
  });
}

// y = r s with r = W / A (all and arrived weights) and s the arrived sum. dweights hold r dy . E_i, hence
// dy . s = sum_i w_i dweights_i / r; and dr/dw_i = (1 - r) / A where i arrived, 1 / A where it did not.
void missing_backward(const Route& route, std::span<const uint8_t> arrived, std::span<const float> scale,
                      std::span<float> dweights) {
  for (int64_t t = 0; t < route.tokens(); ++t) {
    const Weights sum = weights_of(route, arrived, t);
    float dot = 0.0f;
    for (int32_t i = route.first[t]; i < route.first[t + 1]; ++i) {
      if (arrived[i] == 0) dweights[i] = 0.0f;
      dot += route.weight[i] * dweights[i];
    }
    if (scale[t] == 1.0f) continue;
    const float dscale = dot / scale[t] / sum.arrived;
    for (int32_t i = route.first[t]; i < route.first[t + 1]; ++i) {
      dweights[i] += dscale * (arrived[i] != 0 ? 1.0f - scale[t] : 1.0f);
    }
  }
}

}  // namespace agora::moe
