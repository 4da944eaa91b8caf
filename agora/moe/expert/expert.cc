#include "agora/moe/expert/expert.h"

#include "absl/strings/str_format.h"
#include "agora/base/check.h"
#include "agora/optim/adamw.h"
#include "agora/optim/clip.h"

namespace agora::moe {
namespace {

// Far above any published expert; bounds what a config file can make us allocate.
constexpr int64_t kWidthMax = int64_t{1} << 20;

Status refuse(std::string_view field, std::string_view expected, double came) {
  return absl::InvalidArgumentError(
      absl::StrFormat("expert: %s must be %s, it is %g", field, expected, came));
}

bool has_hidden(const ExpertShape& shape) { return shape.activation != Activation::linear; }

}  // namespace

Status validate(const ExpertShape& shape) {
  const std::string range = absl::StrFormat("1 to %d", kWidthMax);
  if (shape.d < 1 || shape.d > kWidthMax) return refuse("width", range, static_cast<double>(shape.d));
  if (has_hidden(shape) && (shape.h < 1 || shape.h > kWidthMax)) {
    return refuse("hidden width", range, static_cast<double>(shape.h));
  }
  if (shape.biases && shape.activation == Activation::swiglu) return refuse("biases", "off with swiglu", 1);
  if (!(shape.deviation >= 0.0f)) return refuse("deviation", "at least 0", shape.deviation);
  if (!(shape.deviation_down >= 0.0f)) return refuse("deviation_down", "at least 0", shape.deviation_down);
  return absl::OkStatus();
}

Expert::Expert(const std::string& name, const ExpertShape& shape, Train train)
    : shape_(shape), trained_(train == Train::yes) {
  const int64_t inner = has_hidden(shape) ? shape.h : shape.d;
  if (shape.activation == Activation::swiglu) {
    gate_ = Parameter::matrix(name + ".gate_proj.weight", inner, shape.d, train);
  }
  up_ = Parameter::matrix(name + ".up_proj.weight", inner, shape.d, train);
  if (has_hidden(shape)) down_ = Parameter::matrix(name + ".down_proj.weight", shape.d, inner, train);
  if (!shape.biases) return;
  up_bias_ = Parameter::vector(name + ".up_proj.bias", inner, train);
  if (has_hidden(shape)) down_bias_ = Parameter::vector(name + ".down_proj.bias", shape.d, train);
}

void Expert::initialise(const Rng& rng) {
  std::vector<Parameter*> parameters;
  append_parameters(parameters);
  for (Parameter* p : parameters) {
    if (p->rank == 1) {
      nn::fill(*p, 0.0f);
    } else {
      nn::fill_normal(*p, rng, p == &down_ ? shape_.deviation_down : shape_.deviation);
    }
  }
}

void Expert::repack(const Compute& compute) {
  kernels::repack_expert(compute, shape_.activation, weights(), trained_, pack_);
}

kernels::ExpertWeights Expert::weights() const {
  return {gate_.value.view(), up_.value.view(), down_.value.view(), up_bias_.value.view(),
          down_bias_.value.view()};
}

kernels::ExpertGradients Expert::gradients() {
  return {gate_.gradient.view(), up_.gradient.view(), down_.gradient.view(), up_bias_.gradient.view(),
          down_bias_.gradient.view()};
}

void Expert::append_parameters(std::vector<Parameter*>& to) {
  for (Parameter* p : {&gate_, &up_, &down_, &up_bias_, &down_bias_}) {
    if (!p->value.empty()) to.push_back(p);
  }
}

StatusOr<double> Expert::gradient_norm(const Compute& compute) {
  std::vector<Parameter*> parameters;
  append_parameters(parameters);
  return optim::gradient_norm(compute, parameters);
}

void Expert::step(const Compute& compute, const StepSettings& settings, double norm, float gradient_scale) {
  AGORA_CHECK(trained_);
  ++version_;
  std::vector<Parameter*> parameters;
  append_parameters(parameters);
  optim::adamw_step(compute,
                    {.learning_rate = settings.learning_rate,
                     .beta1 = settings.beta1,
                     .beta2 = settings.beta2,
                     .epsilon = settings.epsilon,
                     .weight_decay = settings.weight_decay,
                     .gradient_scale = gradient_scale *
                                       optim::clip_scale(norm * gradient_scale, settings.gradient_norm_max)},
                    settings.step, parameters);
  zero_gradients();
  repack(compute);
}

void Expert::zero_gradients() {
  std::vector<Parameter*> parameters;
  append_parameters(parameters);
  nn::zero_gradients(parameters);
}

}  // namespace agora::moe
