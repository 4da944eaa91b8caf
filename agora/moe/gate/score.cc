#include "agora/moe/gate/score.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "agora/base/check.h"

namespace agora::moe {
namespace {

void softmax(std::span<const float> logits, std::span<float> scores) {
  if (logits.empty()) return;
  const float largest = *std::max_element(logits.begin(), logits.end());
  float sum = 0.0f;
  for (size_t i = 0; i < logits.size(); ++i) {
    scores[i] = std::exp(logits[i] - largest);
    sum += scores[i];
  }
  for (float& s : scores) s /= sum;
}

void sigmoid(std::span<const float> logits, std::span<float> scores) {
  for (size_t i = 0; i < logits.size(); ++i) scores[i] = 1.0f / (1.0f + std::exp(-logits[i]));
}

}  // namespace

void score(Score kind, std::span<const float> logits, std::span<float> scores) {
  AGORA_CHECK_EQ(logits.size(), scores.size());
  kind == Score::softmax ? softmax(logits, scores) : sigmoid(logits, scores);
}

void weigh(const GateDescriptor& gate, std::span<const float> logits, std::span<const float> scores,
           std::span<const int32_t> chosen, std::span<float> weights) {
  const std::span<const float> source = gate.score_before_selection ? scores : logits;
  for (size_t i = 0; i < chosen.size(); ++i) weights[i] = source[chosen[i]];
  if (!gate.score_before_selection) score(gate.score, weights, weights);
  if (gate.renormalise) {
    float sum = gate.renormalise_epsilon;
    for (const float w : weights) sum += w;
    // All scores of a token can underflow to 0; then equal weights are the limit.
    for (float& w : weights) w = sum > 0.0f ? w / sum : 1.0f / static_cast<float>(weights.size());
  }
  for (float& w : weights) w *= gate.scale;
}

bool weights_are_normalised(const GateDescriptor& gate) {
  const bool softmax_over_chosen =
      gate.score == Score::softmax && (!gate.score_before_selection || gate.selection == Selection::all);
  return gate.renormalise || softmax_over_chosen;
}

}  // namespace agora::moe
