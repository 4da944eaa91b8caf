// One AdamW step (Loshchilov & Hutter 2019) over flat memory: parameters, both moments and gradient read
// once.
//
//   adamw_step(compute, settings, step, weights, gradient, first, second);
//
// Any thread; the pool runs one loop at a time. Element-wise, so independent of the number of threads.
#pragma once

#include <cstdint>
#include <span>

#include "agora/kernels/compute.h"

namespace agora::kernels {

struct AdamWSettings {
  float learning_rate = 1e-3f;
  float beta1 = 0.9f;
  float beta2 = 0.95f;
  float epsilon = 1e-8f;
  float weight_decay = 0.1f;    // decoupled: w -= learning_rate * weight_decay * w
  float gradient_scale = 1.0f;  // multiplies the gradient first (clipping, loss scale)
};

// step counts from 1. All spans have one length. The gradient is left as it was.
void adamw_step(const Compute& compute, const AdamWSettings& settings, int64_t step, std::span<float> weights,
                std::span<const float> gradient, std::span<float> first, std::span<float> second);

// Sum of squares in fixed blocks, in f64: the same for any number of threads.
double sum_of_squares(const Compute& compute, std::span<const float> x);

}  // namespace agora::kernels
