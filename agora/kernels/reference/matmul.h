// The truth about matrix products: plain loops, sums in f64, no packing, no blocks.
//
//   reference::matmul(x, weight, y);            // y[T, N]       = x[T, K] . weight[N, K]^T
//   reference::matmul_gradient(x, dy, dweight); // dweight[N, K] += dy[T, N]^T . x[T, K]
//
// Inputs are taken as they are: a test of bf16 kernels rounds them first. Any thread.
#pragma once

#include "agora/kernels/compute.h"
#include "agora/tensor/view.h"

namespace agora::kernels::reference {

using tensor::View;

void matmul(View<const float> x, View<const float> weight, View<float> y);
void matmul_gradient(View<const float> x, View<const float> dy, View<float> dweight);

}  // namespace agora::kernels::reference
