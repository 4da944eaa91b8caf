#include "agora/moe/gate/noise.h"

#include <algorithm>
#include <cmath>

namespace agora::moe {
namespace {

// log(1 + exp(x)) without overflow.
float softplus(float x) { return std::max(x, 0.0f) + std::log1p(std::exp(-std::fabs(x))); }

}  // namespace

void draw_noise(Rng& rng, std::span<float> drawn) {
  for (float& value : drawn) value = rng.normal();
}

void add_noise(float noise, std::span<const float> scale, std::span<const float> drawn,
               std::span<float> logits) {
  for (size_t c = 0; c < logits.size(); ++c) logits[c] += noise * softplus(scale[c]) * drawn[c];
}

void noise_backward(float noise, std::span<const float> scale, std::span<const float> drawn,
                    std::span<const float> dlogits, std::span<float> dscale) {
  for (size_t c = 0; c < dlogits.size(); ++c) {
    dscale[c] = dlogits[c] * noise * drawn[c] / (1.0f + std::exp(-scale[c]));
  }
}

}  // namespace agora::moe
