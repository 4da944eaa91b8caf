// What a model is, as one value and as a config.json with Hugging Face's keys.
//
//   AGORA_ASSIGN_OR_RETURN(ModelConfig config, read_config("model/config.json"));
//   AGORA_RETURN_IF_ERROR(validate(config));
//   write_config(config, "model/config.json");
//
// The native shape is Qwen3-MoE's: every layer is attention with QK-norm, then a mixture of SwiGLU experts.
// What that family has no key for (another gate, frontend or head) stands under the key "agora", so that a
// plain language model's file opens in other people's programs. A value type; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "agora/base/result.h"
#include "agora/kernels/expert_ffn.h"
#include "agora/moe/gate/descriptor.h"

namespace agora::model {

enum class FrontendKind : uint8_t { text, patches };
enum class HeadKind : uint8_t { next_token, classes };

// Images of height x width grey pixels, cut into patch x patch squares, a row each.
struct PatchShape {
  int64_t height = 0;
  int64_t width = 0;
  int64_t patch = 0;

  int64_t rows() const { return (height / patch) * (width / patch); }
  int64_t pixels() const { return patch * patch; }
};

struct ModelConfig {
  std::string model_type = "qwen3_moe";
  FrontendKind frontend = FrontendKind::text;
  HeadKind head = HeadKind::next_token;
  int64_t vocab_size = 0;         // V; for HeadKind::classes the number of classes
  int64_t hidden_size = 0;        // D
  int64_t num_hidden_layers = 0;  // L
  int64_t num_attention_heads = 0;
  int64_t num_key_value_heads = 0;
  int64_t head_dim = 0;
  int64_t max_position_embeddings = 0;          // rows of the longest sequence
  int64_t moe_intermediate_size = 0;            // H
  int64_t shared_expert_intermediate_size = 0;  // 0: no shared expert
  bool shared_expert_gate = false;              // Qwen2-MoE's sigmoid gate on the shared expert
  float rms_norm_eps = 1e-6f;
  float rope_theta = 10000.0f;
  float initializer_range = 0.02f;
  bool tie_word_embeddings = false;
  bool attention_bias = false;  // biases on q, k, v
  bool qk_norm = true;
  bool causal = true;
  kernels::Activation activation = kernels::Activation::swiglu;
  moe::GateDescriptor gate;
  float router_aux_loss_coef = 0.0f;  // Switch loss
  float router_z_loss_coef = 0.0f;
  float selection_bias_rate = 0.0f;  // how far one step moves the selection bias
  PatchShape patches;

  // Parameters in all, and those that one token meets.
  int64_t parameters() const;
  int64_t parameters_active() const;
  // First deviation of what writes to the residual stream: 1 / sqrt(2 L) of the others' (GPT-2, Radford
  // 2019).
  float residual_deviation() const;
};

// InvalidArgument that names the key, what was expected and what came. No expert_choice in a model that is
// causal or says the next token: its answers would depend on the batch (moe/gate/descriptor.h).
Status validate(const ModelConfig& config);

// The same model with room for `experts` in every gate, where some may be closed (moe::kClosed): what runs in
// a swarm whose experts come and go. A gate that does not select by top_k has no such room and stays as it
// is. InvalidArgument: fewer than the model has, or more where there is no room.
StatusOr<ModelConfig> with_room(const ModelConfig& config, int64_t experts);

// By the names that config.json uses: "softmax", "top_k", ... InvalidArgument lists them.
StatusOr<moe::Score> score_named(const std::string& name);
StatusOr<moe::Selection> selection_named(const std::string& name);

// NotFound, InvalidArgument (not JSON, a key missing or of the wrong type, an unknown model_type, an unknown
// key under "agora", or a key that asks for arithmetic which models here do not have: foreign_config.h; names
// file and key).
StatusOr<ModelConfig> read_config(const std::string& path);
StatusOr<ModelConfig> parse_config(std::string_view json, const std::string& where);
std::string format_config(const ModelConfig& config);

}  // namespace agora::model
