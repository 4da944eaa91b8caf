#include "agora/model/config.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "agora/base/text.h"
#include "agora/model/config_reader.h"
#include "agora/model/foreign_config.h"
#include "agora/weights/atomic_file.h"
#include "agora/weights/strict_json.h"
#include <nlohmann/json.hpp>

namespace agora::model {
namespace {

using Json = nlohmann::ordered_json;

// Sizes beyond these are mistakes or attacks; they keep every product of two of them within 64 bits.
constexpr int64_t kSizeMax = int64_t{1} << 24;
constexpr int64_t kLayersMax = 4096;
constexpr double kParametersMax = 1e15;  // a thousand times the largest known
constexpr int64_t kConfigBytesMax = int64_t{1} << 20;

constexpr Name<moe::Score> kScores[] = {{moe::Score::softmax, "softmax"}, {moe::Score::sigmoid, "sigmoid"}};
constexpr Name<moe::Selection> kSelections[] = {{moe::Selection::top_k, "top_k"},
                                                {moe::Selection::grouped_top_k, "grouped_top_k"},
                                                {moe::Selection::expert_choice, "expert_choice"},
                                                {moe::Selection::all, "all"}};
constexpr Name<kernels::Activation> kActivations[] = {{kernels::Activation::swiglu, "silu"},
                                                      {kernels::Activation::gelu, "gelu_pytorch_tanh"},
                                                      {kernels::Activation::relu, "relu"},
                                                      {kernels::Activation::linear, "linear"}};
constexpr Name<FrontendKind> kFrontends[] = {{FrontendKind::text, "text"},
                                             {FrontendKind::patches, "patches"}};
constexpr Name<HeadKind> kHeads[] = {{HeadKind::next_token, "next_token"}, {HeadKind::classes, "classes"}};

void read_gate(Reader& reader, moe::GateDescriptor& gate) {
  reader.read_name("score", kScores, gate.score);
  reader.read_name("selection", kSelections, gate.selection);
  reader.read("score_before_selection", gate.score_before_selection);
  reader.read("renormalise_epsilon", gate.renormalise_epsilon);
  reader.read("scale", gate.scale);
  reader.read("linear_bias", gate.linear_bias);
  reader.read("selection_bias", gate.selection_bias);
  reader.read("entry_bias", gate.entry_bias);
  reader.read("groups", gate.groups);
  reader.read("groups_chosen", gate.groups_chosen);
  reader.read("group_score_top", gate.group_score_top);
  reader.read("noise", gate.noise);
  reader.read("zero_experts", gate.zero_experts);
  reader.read("copy_experts", gate.copy_experts);
  reader.read("constant_experts", gate.constant_experts);
}

Json format_gate(const moe::GateDescriptor& gate) {
  Json json{{"score", name_of(kScores, gate.score)},
            {"selection", name_of(kSelections, gate.selection)},
            {"score_before_selection", gate.score_before_selection},
            {"renormalise_epsilon", gate.renormalise_epsilon},
            {"scale", gate.scale},
            {"linear_bias", gate.linear_bias},
            {"selection_bias", gate.selection_bias},
            {"groups", gate.groups},
            {"groups_chosen", gate.groups_chosen},
            {"group_score_top", gate.group_score_top},
            {"noise", gate.noise},
            {"zero_experts", gate.zero_experts},
            {"copy_experts", gate.copy_experts},
            {"constant_experts", gate.constant_experts}};
  if (gate.entry_bias) json["entry_bias"] = true;  // only a model that was saved while it grew
  return json;
}

void read_own_keys(Reader& reader, ModelConfig& config) {
  reader.read_name("frontend", kFrontends, config.frontend);
  reader.read_name("head", kHeads, config.head);
  reader.read("causal", config.causal);
  reader.read("qk_norm", config.qk_norm);
  reader.read("router_z_loss_coef", config.router_z_loss_coef);
  reader.read("selection_bias_rate", config.selection_bias_rate);
  reader.read("image_height", config.patches.height);
  reader.read("image_width", config.patches.width);
  reader.read("patch", config.patches.patch);
}

// Others' keys may mean nothing here; our own that nobody reads is a mistake, or a later version's.
Status read_own(const nlohmann::json& json, const std::string& where, ModelConfig& config) {
  Reader reader(json, where);
  const nlohmann::json* const own = reader.object_at("agora");
  if (own == nullptr) return reader.status();
  Reader own_reader(*own, where + ": agora");
  read_own_keys(own_reader, config);
  const nlohmann::json* const gate = own_reader.object_at("gate");
  own_reader.refuse_others();
  if (gate == nullptr || !own_reader.status().ok()) return own_reader.status();
  Reader gate_reader(*gate, where + ": agora.gate");
  read_gate(gate_reader, config.gate);
  gate_reader.refuse_others();
  return gate_reader.status();
}

void read_shared_keys(Reader& reader, ModelConfig& config) {
  reader.read("vocab_size", config.vocab_size, true);
  reader.read("hidden_size", config.hidden_size, true);
  reader.read("num_hidden_layers", config.num_hidden_layers, true);
  reader.read("num_attention_heads", config.num_attention_heads, true);
  config.num_key_value_heads = config.num_attention_heads;
  reader.read("num_key_value_heads", config.num_key_value_heads);
  if (config.num_attention_heads > 0) config.head_dim = config.hidden_size / config.num_attention_heads;
  reader.read("head_dim", config.head_dim);
  reader.read("max_position_embeddings", config.max_position_embeddings, true);
  reader.read("moe_intermediate_size", config.moe_intermediate_size, true);
  reader.read("shared_expert_intermediate_size", config.shared_expert_intermediate_size);
  reader.read("shared_expert_gate", config.shared_expert_gate);
  reader.read("rms_norm_eps", config.rms_norm_eps);
  reader.read("rope_theta", config.rope_theta);
  reader.read("initializer_range", config.initializer_range);
  reader.read("tie_word_embeddings", config.tie_word_embeddings);
  reader.read("attention_bias", config.attention_bias);
  reader.read_name("hidden_act", kActivations, config.activation);
  reader.read("num_local_experts", config.gate.experts);  // newer files' name for it
  reader.read("num_experts", config.gate.experts, config.gate.experts == 0);
  reader.read("num_experts_per_tok", config.gate.chosen, true);
  reader.read("norm_topk_prob", config.gate.renormalise);
  reader.read("router_aux_loss_coef", config.router_aux_loss_coef);
}

// Newer files have theta among the rotary embedding's settings; it counts before the one outside.
Status read_rope(const nlohmann::json& json, const std::string& where, ModelConfig& config) {
  for (const char* key : kRopeKeys) {
    const auto rope = json.find(key);
    if (rope == json.end() || !rope->is_object()) continue;
    Reader reader(*rope, absl::StrCat(where, ": ", key));
    reader.read("rope_theta", config.rope_theta);
    AGORA_RETURN_IF_ERROR(reader.status());
  }
  return absl::OkStatus();
}

Status expect_range(const char* key, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("config key \"", key, "\": expected a number from ", low,
                                                 " to ", high, ", found ", value));
}

Status expect_divides(const char* part, int64_t small, const char* whole, int64_t large) {
  if (small > 0 && large % small == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("config keys \"", whole, "\" = ", large, " and \"", part,
                                                 "\" = ", small,
                                                 ": expected the first to be a multiple of the second"));
}

// Experts have no biases (expert_shape()).
template <class Count>
Count expert_parameters(const ModelConfig& config) {
  const auto d = static_cast<Count>(config.hidden_size);
  const auto h = static_cast<Count>(config.moe_intermediate_size);
  if (config.activation == kernels::Activation::linear) return d * d;
  return (config.activation == kernels::Activation::swiglu ? 3 : 2) * d * h;
}

// Count: double where the sizes may be too large for the 64 bits of a whole number.
template <class Count>
Count parameters_with(const ModelConfig& config, int64_t experts) {
  const auto d = static_cast<Count>(config.hidden_size);
  const auto vocabulary = static_cast<Count>(config.vocab_size);
  const auto head = static_cast<Count>(config.head_dim);
  const auto q = static_cast<Count>(config.num_attention_heads) * head;
  const auto kv = static_cast<Count>(config.num_key_value_heads) * head;
  Count block = 2 * d + 2 * d * q + 2 * d * kv + d * static_cast<Count>(config.gate.candidates());
  if (config.qk_norm) block += 2 * head;
  if (config.attention_bias) block += q + 2 * kv;
  block += static_cast<Count>(experts) * expert_parameters<Count>(config);
  block += 3 * d * static_cast<Count>(config.shared_expert_intermediate_size);
  Count total = static_cast<Count>(config.num_hidden_layers) * block + d + vocabulary * d;
  if (config.frontend == FrontendKind::patches) {
    total += d * static_cast<Count>(config.patches.pixels() + config.patches.rows());
  } else if (!config.tie_word_embeddings) {
    total += vocabulary * d;
  }
  return total;
}

}  // namespace

int64_t ModelConfig::parameters() const { return parameters_with<int64_t>(*this, gate.experts); }

int64_t ModelConfig::parameters_active() const {
  const bool every = gate.selection == moe::Selection::all;
  return parameters_with<int64_t>(*this, every ? gate.experts : std::min(gate.chosen, gate.experts));
}

StatusOr<moe::Score> score_named(const std::string& name) { return value_named(kScores, name); }
StatusOr<moe::Selection> selection_named(const std::string& name) { return value_named(kSelections, name); }

float ModelConfig::residual_deviation() const {
  return initializer_range / std::sqrt(2.0f * static_cast<float>(num_hidden_layers));
}

Status validate(const ModelConfig& config) {
  AGORA_RETURN_IF_ERROR(expect_range("vocab_size", config.vocab_size, 2, kSizeMax));
  AGORA_RETURN_IF_ERROR(expect_range("hidden_size", config.hidden_size, 1, kSizeMax));
  AGORA_RETURN_IF_ERROR(expect_range("num_hidden_layers", config.num_hidden_layers, 1, kLayersMax));
  AGORA_RETURN_IF_ERROR(expect_range("num_attention_heads", config.num_attention_heads, 1, kSizeMax));
  AGORA_RETURN_IF_ERROR(expect_range("num_key_value_heads", config.num_key_value_heads, 1, kSizeMax));
  AGORA_RETURN_IF_ERROR(expect_range("head_dim", config.head_dim, 2, 1024));
  if (config.head_dim % 2 != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("config key \"head_dim\": expected an even number, found ", config.head_dim));
  }
  AGORA_RETURN_IF_ERROR(expect_divides("num_key_value_heads", config.num_key_value_heads,
                                       "num_attention_heads", config.num_attention_heads));
  AGORA_RETURN_IF_ERROR(expect_range("max_position_embeddings", config.max_position_embeddings, 1, kSizeMax));
  AGORA_RETURN_IF_ERROR(expect_range("moe_intermediate_size", config.moe_intermediate_size, 1, kSizeMax));
  AGORA_RETURN_IF_ERROR(
      expect_range("shared_expert_intermediate_size", config.shared_expert_intermediate_size, 0, kSizeMax));
  if (!(config.rms_norm_eps > 0) || !(config.rope_theta > 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("config: expected rms_norm_eps and rope_theta above 0, found ", config.rms_norm_eps,
                     " and ", config.rope_theta));
  }
  if (config.frontend == FrontendKind::patches) {
    AGORA_RETURN_IF_ERROR(expect_range("patch", config.patches.patch, 1, 4096));
    AGORA_RETURN_IF_ERROR(expect_range("image_height", config.patches.height, config.patches.patch, 1 << 16));
    AGORA_RETURN_IF_ERROR(expect_range("image_width", config.patches.width, config.patches.patch, 1 << 16));
    AGORA_RETURN_IF_ERROR(
        expect_divides("patch", config.patches.patch, "image_height", config.patches.height));
    AGORA_RETURN_IF_ERROR(expect_divides("patch", config.patches.patch, "image_width", config.patches.width));
  }
  if (config.gate.selection == moe::Selection::expert_choice &&
      (config.causal || config.head == HeadKind::next_token)) {
    return absl::InvalidArgumentError(
        "config key \"selection\": found expert_choice, expected another where the model is causal or has "
        "the head next_token: a token's experts would depend on later tokens and on other sequences");
  }
  if ((config.frontend == FrontendKind::text) != (config.head == HeadKind::next_token)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "config keys \"frontend\" and \"head\": expected text and next_token, or patches and classes, found ",
        name_of(kFrontends, config.frontend), " and ", name_of(kHeads, config.head)));
  }
  AGORA_RETURN_IF_ERROR(moe::validate(config.gate));
  const auto parameters = parameters_with<double>(config, config.gate.experts);
  if (parameters <= kParametersMax) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("config: expected at most ", kParametersMax, " parameters in all, found ", parameters));
}

StatusOr<ModelConfig> parse_config(std::string_view text, const std::string& where) {
  const StatusOr<nlohmann::json> parsed = weights::parse_json(text, where);
  if (!parsed.ok() || !parsed->is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": expected a JSON object, found ",
                     parsed.ok() ? "something else" : std::string(parsed.status().message())));
  }
  const nlohmann::json& json = *parsed;
  ModelConfig config;
  Reader reader(json, where);
  reader.read("model_type", config.model_type, true);
  read_shared_keys(reader, config);
  AGORA_RETURN_IF_ERROR(reader.status());
  if (config.model_type != "qwen3_moe") {
    return absl::InvalidArgumentError(absl::StrCat(where, ": key \"model_type\": expected qwen3_moe, found ",
                                                   config.model_type.substr(0, 80)));
  }
  AGORA_RETURN_IF_ERROR(check_foreign_keys(json, where));
  AGORA_RETURN_IF_ERROR(read_rope(json, where, config));
  AGORA_RETURN_IF_ERROR(read_own(json, where, config));
  const Status valid = validate(config);
  if (!valid.ok()) return base::about(where, valid);
  return config;
}

StatusOr<ModelConfig> with_room(const ModelConfig& config, int64_t experts) {
  ModelConfig roomy = config;
  if (config.gate.selection != moe::Selection::top_k) {
    if (experts == config.gate.experts) return roomy;
    return absl::InvalidArgumentError(
        absl::StrCat("the model's gates have no room for further experts: only ", "top_k has; expected ",
                     config.gate.experts, ", found ", experts));
  }
  AGORA_RETURN_IF_ERROR(expect_range("room for experts", experts, config.gate.experts, kSizeMax));
  roomy.gate.experts = experts;
  roomy.gate.entry_bias = true;
  AGORA_RETURN_IF_ERROR(validate(roomy));
  return roomy;
}

StatusOr<ModelConfig> read_config(const std::string& path) {
  AGORA_ASSIGN_OR_RETURN(const std::string text, weights::read_file(path, kConfigBytesMax));
  return parse_config(text, path);
}

std::string format_config(const ModelConfig& config) {
  Json json{{"architectures", {"Qwen3MoeForCausalLM"}},
            {"model_type", config.model_type},
            {"vocab_size", config.vocab_size},
            {"hidden_size", config.hidden_size},
            {"num_hidden_layers", config.num_hidden_layers},
            {"num_attention_heads", config.num_attention_heads},
            {"num_key_value_heads", config.num_key_value_heads},
            {"head_dim", config.head_dim},
            {"max_position_embeddings", config.max_position_embeddings},
            {"intermediate_size", config.moe_intermediate_size},
            {"moe_intermediate_size", config.moe_intermediate_size},
            {"shared_expert_intermediate_size", config.shared_expert_intermediate_size},
            {"shared_expert_gate", config.shared_expert_gate},
            {"num_experts", config.gate.experts},
            {"num_experts_per_tok", config.gate.chosen},
            {"norm_topk_prob", config.gate.renormalise},
            {"decoder_sparse_step", 1},
            {"mlp_only_layers", Json::array()},
            {"hidden_act", name_of(kActivations, config.activation)},
            {"rms_norm_eps", config.rms_norm_eps},
            {"rope_theta", config.rope_theta},
            {"initializer_range", config.initializer_range},
            {"tie_word_embeddings", config.tie_word_embeddings},
            {"attention_bias", config.attention_bias},
            {"router_aux_loss_coef", config.router_aux_loss_coef},
            {"torch_dtype", "float32"}};
  json["agora"] = Json{{"frontend", name_of(kFrontends, config.frontend)},
                       {"head", name_of(kHeads, config.head)},
                       {"causal", config.causal},
                       {"qk_norm", config.qk_norm},
                       {"router_z_loss_coef", config.router_z_loss_coef},
                       {"selection_bias_rate", config.selection_bias_rate},
                       {"image_height", config.patches.height},
                       {"image_width", config.patches.width},
                       {"patch", config.patches.patch},
                       {"gate", format_gate(config.gate)}};
  return json.dump(2) + "\n";
}

}  // namespace agora::model
