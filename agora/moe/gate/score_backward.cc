#include <vector>

#include "agora/base/check.h"
#include "agora/moe/gate/score.h"

namespace agora::moe {
namespace {

// Through w_i = scale * s_i / sum(s): turns dweights into dscores, in place.
void renormalise_backward(const GateDescriptor& gate, std::span<const float> scores, std::span<float> d) {
  if (gate.renormalise) {
    float sum = gate.renormalise_epsilon;
    float dot = 0.0f;
    for (size_t i = 0; i < scores.size(); ++i) {
      sum += scores[i];
      dot += d[i] * scores[i];
    }
    for (float& value : d) value = sum > 0.0f ? (value - dot / sum) / sum : 0.0f;
  }
  for (float& value : d) value *= gate.scale;
}

}  // namespace

void score_backward(Score kind, std::span<const float> scores, std::span<const float> dscores,
                    std::span<float> dlogits) {
  AGORA_CHECK_EQ(scores.size(), dscores.size());
  AGORA_CHECK_EQ(scores.size(), dlogits.size());
  if (kind == Score::sigmoid) {
    for (size_t i = 0; i < scores.size(); ++i) dlogits[i] += dscores[i] * scores[i] * (1.0f - scores[i]);
    return;
  }
  float dot = 0.0f;
  for (size_t i = 0; i < scores.size(); ++i) dot += dscores[i] * scores[i];
  for (size_t i = 0; i < scores.size(); ++i) dlogits[i] += scores[i] * (dscores[i] - dot);
}

void weigh_backward(const GateDescriptor& gate, std::span<const float> logits, std::span<const float> scores,
                    std::span<const int32_t> chosen, std::span<const float> dweights,
                    std::span<float> dlogits) {
  std::vector<float> chosen_scores(chosen.size());
  const std::span<const float> source = gate.score_before_selection ? scores : logits;
  for (size_t i = 0; i < chosen.size(); ++i) chosen_scores[i] = source[chosen[i]];
  if (!gate.score_before_selection) score(gate.score, chosen_scores, chosen_scores);

  std::vector<float> dscores(dweights.begin(), dweights.end());
  renormalise_backward(gate, chosen_scores, dscores);

  if (gate.score_before_selection) {
    std::vector<float> dscores_all(scores.size(), 0.0f);
    for (size_t i = 0; i < chosen.size(); ++i) dscores_all[chosen[i]] = dscores[i];
    score_backward(gate.score, scores, dscores_all, dlogits);
  } else {
    std::vector<float> dchosen(chosen.size(), 0.0f);
    score_backward(gate.score, chosen_scores, dscores, dchosen);
    for (size_t i = 0; i < chosen.size(); ++i) dlogits[chosen[i]] += dchosen[i];
  }
}

}  // namespace agora::moe
