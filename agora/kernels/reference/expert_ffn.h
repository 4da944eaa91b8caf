// The truth about one expert: plain loops in f64, one row at a time.
//
//   std::vector<double> y = reference::expert(activation, weights, x_row);
//   reference::expert_backward(activation, weights, x_row, dy_row, weight, gradients, dx_row, &dweight);
//
// Any thread.
#pragma once

#include <span>
#include <vector>

#include "agora/kernels/expert_ffn.h"

namespace agora::kernels::reference {

// E(x); x has D numbers.
std::vector<double> expert(Activation activation, const ExpertWeights& weights, std::span<const float> x);

// The gradient of weight * (E(x) . dy): written to dx [D] and dweight, added to the gradients that are not
// empty.
void expert_backward(Activation activation, const ExpertWeights& weights, std::span<const float> x,
                     std::span<const float> dy, float weight, const ExpertGradients& gradients,
                     std::span<float> dx, float* dweight);

}  // namespace agora::kernels::reference
