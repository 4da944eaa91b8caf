// AdamW over the parameters of a model.
//
//   AdamWSettings settings{.learning_rate = learning_rate(schedule, step), .gradient_scale =
//   clip_scale(norm, 1.0)}; adamw_step(compute, settings, step, parameters);      // step counts from 1
//
// Gradients are left as they were. One thread at a time.
#pragma once

#include <span>

#include "agora/kernels/adamw_step.h"
#include "agora/tensor/parameter.h"

namespace agora::optim {

using kernels::AdamWSettings;

// Moves every parameter that is trained; weight decay for matrices only. 28 bytes of memory traffic a number.
void adamw_step(const kernels::Compute& compute, const AdamWSettings& settings, int64_t step,
                std::span<tensor::Parameter* const> parameters);
void adamw_step(const kernels::Compute& compute, const AdamWSettings& settings, int64_t step,
                std::span<const tensor::ParameterView> parameters);

}  // namespace agora::optim
