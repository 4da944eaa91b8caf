// Gradient descent with momentum, Nesterov's if asked; also the outer step over averaged changes (DiLoCo,
// Douillard 2023).
//
//   sgd_step(compute, {.learning_rate = 0.7f, .momentum = 0.9f, .nesterov = true}, parameters);
//
// first = momentum * first + g;  value -= learning_rate * (nesterov ? g + momentum * first : first),
// with g = gradient_scale * gradient + weight_decay * value (decay for matrices only), as PyTorch has it.
// Gradients are left as they were. One thread at a time.
#pragma once

#include <span>

#include "agora/kernels/compute.h"
#include "agora/tensor/parameter.h"

namespace agora::optim {

struct SgdSettings {
  float learning_rate = 0.01f;
  float momentum = 0.0f;
  bool nesterov = false;
  float weight_decay = 0.0f;
  float gradient_scale = 1.0f;
};

void sgd_step(const kernels::Compute& compute, const SgdSettings& settings,
              std::span<tensor::Parameter* const> parameters);

}  // namespace agora::optim
