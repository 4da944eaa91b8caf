#include "agora/nn/head.h"

namespace agora::nn {

Head::Head(const std::string& name, int64_t vocabulary, int64_t width, Train train)
    : own_(std::make_unique<Parameter>(Parameter::matrix(name + ".weight", vocabulary, width, train))),
      weight_(own_.get()) {}

void Head::initialise(const Rng& rng, float deviation) {
  if (!tied()) fill_normal(*own_, rng, deviation);
}

void Head::repack(const kernels::Compute& compute) {
  kernels::repack(compute, weight_->value.view(), forward_, weight_->trained() ? &backward_ : nullptr);
}

void Head::forward(const kernels::Compute& compute, tensor::View<const float> x,
                   tensor::View<float> logits) const {
  kernels::matmul(compute, x, forward_, logits);
}

void Head::append_parameters(std::vector<Parameter*>& to) {
  if (!tied()) to.push_back(own_.get());
}

}  // namespace agora::nn
