#include "agora/moe/shared_expert.h"

#include <cmath>

#include "agora/base/check.h"
#include "agora/kernels/row_ops.h"
#include "agora/moe/gate/exact.h"

namespace agora::moe {

SharedExpert::SharedExpert(const std::string& name, const ExpertShape& shape, Gated gated, Train train)
    : shape_(shape),
      gate_proj_(Parameter::matrix(name + ".shared_expert.gate_proj.weight", shape.h, shape.d, train)),
      up_proj_(Parameter::matrix(name + ".shared_expert.up_proj.weight", shape.h, shape.d, train)),
      down_proj_(Parameter::matrix(name + ".shared_expert.down_proj.weight", shape.d, shape.h, train)) {
  AGORA_CHECK(shape.activation == Activation::swiglu && !shape.biases);
  if (gated == Gated::yes) {
    gate_ = std::make_unique<nn::Linear>(name + ".shared_expert_gate", 1, shape.d, nn::Bias::no, train);
  }
}

void SharedExpert::initialise(const Rng& rng) {
  nn::fill_normal(gate_proj_, rng, shape_.deviation);
  nn::fill_normal(up_proj_, rng, shape_.deviation);
  nn::fill_normal(down_proj_, rng, shape_.deviation_down);
  if (gate_ != nullptr) gate_->initialise(rng, shape_.deviation);
}

void SharedExpert::repack(const Compute& compute) {
  const kernels::ExpertWeights weights{.gate = gate_proj_.value.view(),
                                       .up = up_proj_.value.view(),
                                       .down = down_proj_.value.view(),
                                       .up_bias = {},
                                       .down_bias = {}};
  kernels::repack_expert(compute, shape_.activation, weights, up_proj_.trained(), pack_);
  if (gate_ != nullptr) gate_->repack(exact(compute));
}

void SharedExpert::append_parameters(std::vector<Parameter*>& to) {
  for (Parameter* p : {&gate_proj_, &up_proj_, &down_proj_}) to.push_back(p);
  if (gate_ != nullptr) gate_->append_parameters(to);
}

// All rows are one group of one expert; what the gate gives is the entries' weight.
kernels::ExpertGroup SharedExpert::every_token(int64_t tokens, const SharedSaved& saved) {
  for (auto t = static_cast<int32_t>(tokens_.size()); t < tokens; ++t) tokens_.push_back(t);
  return {.pack = &pack_, .tokens = tokens_.data(), .weights = saved.weights.data(), .rows = tokens};
}

void SharedExpert::forward(const Compute& compute, View<const float> x, Keep keep, View<float> y,
                           SharedSaved& saved) {
  if (x.rows == 0) return;
  saved.weights.assign(static_cast<size_t>(x.rows), 1.0f);
  if (gate_ != nullptr) {
    gate_->forward(exact(compute), x, View<float>(saved.weights.data(), x.rows, 1));
    for (float& weight : saved.weights) weight = 1.0f / (1.0f + std::exp(-weight));
  }
  const kernels::ExpertGroup group = every_token(x.rows, saved);
  const View<float> rows = rows_.shape(x.rows, x.cols);
  kernels::experts_forward(compute, x, {&group, 1}, rows,
                           keep == Keep::for_backward ? &saved.hidden : nullptr);
  kernels::add(compute, rows, y);
}

void SharedExpert::backward(const Compute& compute, View<const float> x, const SharedSaved& saved,
                            View<const float> dy, View<float> dx) {
  if (x.rows == 0) return;
  AGORA_CHECK_EQ(static_cast<int64_t>(saved.weights.size()), x.rows);
  const kernels::ExpertGroup group = every_token(x.rows, saved);
  const kernels::ExpertGradients gradients{.gate = gate_proj_.gradient.view(),
                                           .up = up_proj_.gradient.view(),
                                           .down = down_proj_.gradient.view(),
                                           .up_bias = {},
                                           .down_bias = {}};
  std::vector<float> dweights(saved.weights.size());
  const View<float> rows = rows_.shape(x.rows, x.cols);
  kernels::experts_backward(compute, x, {&group, 1}, saved.hidden, dy, {&gradients, 1}, rows, dweights);
  kernels::add(compute, rows, dx);
  if (gate_ == nullptr) return;
  for (size_t t = 0; t < dweights.size(); ++t) dweights[t] *= saved.weights[t] * (1.0f - saved.weights[t]);
  gate_->backward(exact(compute), x, View<const float>(dweights.data(), x.rows, 1), dx, kernels::Write::add);
}

}  // namespace agora::moe
