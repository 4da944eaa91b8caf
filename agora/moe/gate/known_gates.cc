#include "agora/moe/gate/known_gates.h"

#include <array>

namespace agora::moe {
namespace {

constexpr std::array<KnownGate, 8> kKnownGates = {{
    // Softmax over all experts, the best two, divided by their sum: the same numbers as a softmax over the
    // two.
    {"mixtral", "Mixtral-8x7B", {.experts = 8, .chosen = 2, .renormalise = true}},
    // The weights are shares of the softmax over all experts, so they do not add up to 1.
    {"olmoe", "OLMoE-1B-7B", {.experts = 64, .chosen = 8}},
    // As OLMoE, with a shared expert beside it behind a sigmoid gate (MoeLayerConfig::shared_gate).
    {"qwen2_moe", "Qwen1.5-MoE-A2.7B", {.experts = 60, .chosen = 4}},
    {"qwen3_moe", "Qwen3-30B-A3B", {.experts = 128, .chosen = 8, .renormalise = true}},
    // Groups are devices: the three groups with the best single expert, then six experts of theirs.
    {"deepseek_v2",
     "DeepSeek-V2",
     {.selection = Selection::grouped_top_k,
      .experts = 160,
      .chosen = 6,
      .scale = 16.0f,
      .groups = 8,
      .groups_chosen = 3,
      .group_score_top = 1}},
    // Sigmoid scores; the selection bias moves the choice of groups and experts, the weights never see it.
    {"deepseek_v3",
     "DeepSeek-V3",
     {.score = Score::sigmoid,
      .selection = Selection::grouped_top_k,
      .experts = 256,
      .chosen = 8,
      .renormalise = true,
      .renormalise_epsilon = 1e-20f,
      .scale = 2.5f,
      .selection_bias = true,
      .groups = 8,
      .groups_chosen = 4,
      .group_score_top = 2}},
    // A linear layer with bias; the best four logits, then a softmax over the four.
    {"gpt_oss",
     "gpt-oss-20b",
     {.experts = 32, .chosen = 4, .score_before_selection = false, .linear_bias = true}},
    {"granitemoe", "granite-3.0-1b-a400m", {.experts = 32, .chosen = 8, .score_before_selection = false}},
}};

}  // namespace

std::span<const KnownGate> known_gates() { return kKnownGates; }

const KnownGate* find_known_gate(std::string_view model_type) {
  for (const KnownGate& gate : kKnownGates) {
    if (gate.model_type == model_type) return &gate;
  }
  return nullptr;
}

}  // namespace agora::moe
