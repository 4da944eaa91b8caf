// A gate said in data: every router of the open checkpoints is a value of this struct (see known_gates.h).
//
//   GateDescriptor g{.score = Score::softmax, .selection = Selection::top_k, .experts = 8, .chosen = 2};
//   AGORA_RETURN_IF_ERROR(validate(g));
//
// The order of work: scores = x W^T (+ bias); softmax or sigmoid over all scores (score_before_selection) or
// over the chosen ones after selection; selection looks at score + selection_bias (DeepSeek-V3's balance
// without a loss); weights are the unbiased scores, renormalised to sum 1 if asked, times scale. A value
// type; any thread.
#pragma once

#include <cstdint>

#include "agora/base/result.h"

namespace agora::moe {

enum class Score : uint8_t { softmax, sigmoid };

enum class Selection : uint8_t {
  top_k,          // the K best experts of each token
  grouped_top_k,  // the best groups first, by the sum of each group's top 2 (DeepSeek-V3) or its best (V2),
                  // then K in them
  expert_choice,  // each expert takes its best T * K / E tokens (Zhou 2022); a token may get none. Not
                  // causal: its choice depends on the batch, so models whose answers must not (causal
                  // ones, and those of text) refuse it
  all,            // the dense mixture of Jacobs 1991
};

struct GateDescriptor {
  Score score = Score::softmax;
  Selection selection = Selection::top_k;
  int64_t experts = 0;                 // E: experts behind the seam
  int64_t chosen = 0;                  // K, counting zero, copy and constant experts
  bool score_before_selection = true;  // softmax over all, then top-k (Qwen, OLMoE); false: top-k, then
                                       // softmax over K (Mixtral's equal, gpt-oss, Granite)
  bool renormalise = false;            // weights / sum of weights, after selection
  float renormalise_epsilon = 0.0f;    // added to that sum (DeepSeek-V3: 1e-20)
  float scale = 1.0f;                  // routed_scaling_factor
  bool linear_bias = false;            // scores = x W^T + b (gpt-oss)
  bool selection_bias = false;         // e_score_correction_bias: moves the choice, never the weight
  bool entry_bias = false;             // candidates may be closed, or let in slowly (top_k only): see kClosed
  int64_t groups = 1;                  // grouped_top_k: E must divide by it
  int64_t groups_chosen = 1;
  int64_t group_score_top = 2;  // 2: sum of the two best (V3); 1: the best (V2's group_limited_greedy)
  float noise = 0.0f;  // noisy top-k while training (Shazeer 2017): score += noise_std(x) * normal; the
                       // deviation is softplus(x W_noise^T) * noise. 0: none
  // Experts that need no call, numbered E, E + 1, ... in this order (LongCat, MoE++):
  // y += 0, y += w x, y += w c.
  int64_t zero_experts = 0;
  int64_t copy_experts = 0;
  int64_t constant_experts = 0;  // c [D] is learned

  int64_t candidates() const { return experts + zero_experts + copy_experts + constant_experts; }
};

// An expert whose entry bias is no greater is not there: it is not scored, takes no part in a softmax or a
// loss, and its weights in the gate get no gradient. Above, up to 0, the bias is added to its score for the
// selection alone. Softmax and sigmoid scores lie within 0 and 1, so one that opens begins with no token.
constexpr float kClosed = -1.0f;

// Experts and those without a call together. Far above any published model; bounds what a config file can
// make us allocate.
constexpr int64_t kGateCandidatesMax = 65536;

// InvalidArgument that names the field, what was expected and what came.
Status validate(const GateDescriptor& gate);

}  // namespace agora::moe
