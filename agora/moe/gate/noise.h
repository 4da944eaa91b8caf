// Noisy selection (Shazeer 2017): logit += noise * softplus(scale) * normal, with scale = x W_noise^T.
//
//   draw_noise(rng, drawn);   add_noise(noise, scale, drawn, logits);
//   noise_backward(noise, scale, drawn, dlogits, dscale);
//
// Rows of one token, C long. Any thread.
#pragma once

#include <span>

#include "agora/base/rng.h"

namespace agora::moe {

void draw_noise(Rng& rng, std::span<float> drawn);

void add_noise(float noise, std::span<const float> scale, std::span<const float> drawn,
               std::span<float> logits);

// Writes dscale. The logits' own gradient passes through unchanged.
void noise_backward(float noise, std::span<const float> scale, std::span<const float> drawn,
                    std::span<const float> dlogits, std::span<float> dscale);

}  // namespace agora::moe
