#include <cmath>

#include "absl/strings/str_format.h"
#include "agora/moe/balance/selection_bias.h"
#include "agora/moe/layer.h"

namespace agora::moe {
namespace {

Status refuse(std::string_view field, std::string_view expected, double came) {
  return absl::InvalidArgumentError(
      absl::StrFormat("mixture layer: %s must be %s, it is %g", field, expected, came));
}

ExpertShape shared_shape(const MoeLayerConfig& config) {
  return {.activation = Activation::swiglu,
          .d = config.d,
          .h = config.shared_h,
          .deviation = config.deviation,
          .deviation_down = config.deviation_down};
}

}  // namespace

Status validate(const MoeLayerConfig& config) {
  AGORA_RETURN_IF_ERROR(validate(config.gate));
  if (config.d < 1) return refuse("width", "at least 1", static_cast<double>(config.d));
  if (config.shared_h != 0) AGORA_RETURN_IF_ERROR(validate(shared_shape(config)));
  if (config.shared_gate && config.shared_h == 0)
    return refuse("shared_gate", "off without a shared expert", 1);
  for (const auto& [name, value] :
       {std::pair{"aux_loss_coefficient", config.aux_loss_coefficient},
        std::pair{"z_loss_coefficient", config.z_loss_coefficient}, std::pair{"bias_rate", config.bias_rate},
        std::pair{"deviation", config.deviation}, std::pair{"deviation_down", config.deviation_down}}) {
    if (!std::isfinite(value) || value < 0.0f) return refuse(name, "finite and at least 0", value);
  }
  if (config.bias_rate > 0.0f && !config.gate.selection_bias) {
    return refuse("bias_rate", "0 for a gate without selection_bias", config.bias_rate);
  }
  return absl::OkStatus();
}

StatusOr<std::unique_ptr<MoeLayer>> MoeLayer::create(const std::string& name, LayerId layer,
                                                     const MoeLayerConfig& config, Experts& experts,
                                                     Train train) {
  AGORA_RETURN_IF_ERROR(validate(config));
  AGORA_ASSIGN_OR_RETURN(Gate gate, Gate::create(name, config.gate, config.d, train));
  return std::unique_ptr<MoeLayer>(new MoeLayer(name, layer, config, std::move(gate), experts, train));
}

MoeLayer::MoeLayer(const std::string& name, LayerId layer, const MoeLayerConfig& config, Gate gate,
                   Experts& experts, Train train)
    : layer_(layer), config_(config), gate_(std::move(gate)), experts_(&experts) {
  if (config.shared_h > 0) {
    shared_ = std::make_unique<SharedExpert>(name, shared_shape(config),
                                             config.shared_gate ? Gated::yes : Gated::no, train);
  }
  if (config.gate.constant_experts > 0) {
    constants_ = std::make_unique<Parameter>(
        Parameter::matrix(name + ".constant_experts.weight", config.gate.constant_experts, config.d, train));
  }
  clear_loads();
}

void MoeLayer::initialise(const Rng& rng) {
  gate_.initialise(rng, config_.deviation);
  if (shared_ != nullptr) shared_->initialise(rng);
  if (constants_ != nullptr) nn::fill_normal(*constants_, rng, config_.deviation);
}

void MoeLayer::repack(const Compute& compute) {
  gate_.repack(compute);
  if (shared_ != nullptr) shared_->repack(compute);
}

void MoeLayer::append_parameters(std::vector<Parameter*>& to) {
  gate_.append_parameters(to);
  if (shared_ != nullptr) shared_->append_parameters(to);
  if (constants_ != nullptr) to.push_back(constants_.get());
}

View<const float> MoeLayer::constant_rows() const {
  return constants_ == nullptr ? View<const float>() : View<const float>(constants_->value.view());
}

void MoeLayer::clear_loads() { loads_.assign(static_cast<size_t>(config_.gate.candidates()), 0); }

void MoeLayer::move_selection_bias(std::span<const int64_t> loads) {
  if (gate_.selection_bias() == nullptr) return;
  const std::span<float> bias = gate_.selection_bias()->value.flat();
  if (gate_.entry_bias() == nullptr) return moe::move_selection_bias(loads, config_.bias_rate, bias);
  std::vector<size_t> in;
  for (size_t e = 0; e < loads.size(); ++e) {
    if (gate_.entry_bias()->value.flat()[e] >= 0.0f) in.push_back(e);
  }
  std::vector<int64_t> their_loads;
  std::vector<float> their_bias;
  for (const size_t e : in) {
    their_loads.push_back(loads[e]);
    their_bias.push_back(bias[e]);
  }
  moe::move_selection_bias(their_loads, config_.bias_rate, their_bias);
  for (size_t i = 0; i < in.size(); ++i) bias[in[i]] = their_bias[i];
}

}  // namespace agora::moe
