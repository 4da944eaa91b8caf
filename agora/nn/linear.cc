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
  kernels::repack(compute, weight_.value.view(), forward_, weight_.trained() ? &backward_ : nullptr);
}

void Linear::forward(const Compute& compute, View<const float> x, View<float> y, Write write) const {
  kernels::matmul(compute, x, forward_, y, write);
  if (!bias_.value.empty()) kernels::add_bias(compute, bias_.value.flat(), y);
}

void Linear::forward_each(const Compute& compute, View<const float> x, std::span<const Output> outputs) {
  std::vector<kernels::MatmulOutput> products;
  for (const Output& output : outputs) products.push_back({&output.layer->forward_, output.y});
  kernels::matmul_each(compute, x, products);
  for (const Output& output : outputs) {
    const Parameter& bias = output.layer->bias_;
    if (!bias.value.empty()) kernels::add_bias(compute, bias.value.flat(), output.y);
  }
}

void Linear::backward(const Compute& compute, View<const float> x, View<const float> dy, View<float> dx,
                      Write write) {
  const OutputGradient gradient{this, dy};
  backward_each(compute, x, {&gradient, 1}, dx, write);
}

void Linear::backward_each(const Compute& compute, View<const float> x,
                           std::span<const OutputGradient> gradients, View<float> dx, Write write) {
  std::vector<kernels::MatmulGradient> weights;
  std::vector<kernels::MatmulTerm> terms;
  for (const auto& [layer, dy] : gradients) {
    AGORA_CHECK(layer->weight_.trained());
    weights.push_back({dy, layer->weight_.gradient.view()});
    terms.push_back({dy, &layer->backward_});
    if (!layer->bias_.value.empty()) {
      kernels::add_bias_backward(compute, dy, layer->bias_.gradient.flat());
    }
  }
  kernels::matmul_gradient_each(compute, x, weights);
  if (!dx.empty()) kernels::matmul_sum(compute, terms, dx, write);
}

void Linear::append_parameters(std::vector<Parameter*>& to) {
  to.push_back(&weight_);
  if (!bias_.value.empty()) to.push_back(&bias_);
}

}  // namespace agora::nn
