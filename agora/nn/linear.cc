#include "agora/nn/linear.h"

#include "agora/kernels/row_ops.h"

namespace agora::nn {

Linear::Linear(const std::string& name, int64_t outputs, int64_t inputs, Bias bias, Train train)
    : weight_(Parameter::matrix(name + ".weight", outputs, inputs, train)) {
  if (bias == Bias::yes) bias_ = Parameter::vector(name + ".bias", outputs, train);
}

void Linear::initialise(const Rng& rng, float deviation) {
  fill_normal(weight_, rng, deviation);
  fill(bias_, 0.0f);
}

void Linear::repack(const Compute& compute) {
  kernels::repack(compute, weight_.value.view(), forward_);
  if (weight_.trained()) kernels::repack_transposed(compute, weight_.value.view(), backward_);
}

void Linear::forward(const Compute& compute, View<const float> x, View<float> y, Write write) const {
  kernels::matmul(compute, x, forward_, y, write);
  if (!bias_.value.empty()) kernels::add_bias(compute, bias_.value.flat(), y);
}

void Linear::backward(const Compute& compute, View<const float> x, View<const float> dy, View<float> dx,
                      Write write) {
  AGORA_CHECK(weight_.trained());
  kernels::matmul_gradient(compute, x, dy, weight_.gradient.view());
  if (!bias_.value.empty()) kernels::add_bias_backward(compute, dy, bias_.gradient.flat());
  if (!dx.empty()) kernels::matmul(compute, dy, backward_, dx, write);
}

void Linear::append_parameters(std::vector<Parameter*>& to) {
  to.push_back(&weight_);
  if (!bias_.value.empty()) to.push_back(&bias_);
}

}  // namespace agora::nn
