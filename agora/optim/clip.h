// The norm of all gradients together, and the factor that clips it.
//
//   AGORA_ASSIGN_OR_RETURN(double norm, gradient_norm(compute, parameters));
//   settings.gradient_scale = clip_scale(norm, 1.0);
//
// One thread at a time.
#pragma once

#include <span>

#include "agora/base/result.h"
#include "agora/kernels/compute.h"
#include "agora/tensor/parameter.h"

namespace agora::optim {

// sqrt of the sum of squares, in f64; NaN or infinite if one of x is.
double norm(const kernels::Compute& compute, std::span<const float> x);

// sqrt of the sum of squares of every trained parameter's gradient, in f64, in the order of the list.
// InvalidArgument naming the first parameter whose gradient holds a NaN or an infinity; nothing has been
// changed then.
StatusOr<double> gradient_norm(const kernels::Compute& compute,
                               std::span<tensor::Parameter* const> parameters);
StatusOr<double> gradient_norm(const kernels::Compute& compute,
                               std::span<const tensor::ParameterView> parameters);

// min(1, norm_max / norm); 1 when norm_max is 0 (no clipping).
float clip_scale(double norm, double norm_max);

}  // namespace agora::optim
