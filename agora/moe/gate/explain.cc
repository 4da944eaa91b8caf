#include "agora/moe/gate/explain.h"

#include <algorithm>

#include "agora/base/check.h"

namespace agora::moe {
namespace {

ChoiceReason reason(int32_t candidate, std::span<const float> compared, std::span<const float> bias,
                    float weight) {
  return {candidate, compared[candidate], bias.empty() ? 0.0f : bias[candidate], weight};
}

ChoiceReason best_of_the_others(std::span<const int32_t> chosen, std::span<const float> compared,
                                std::span<const float> bias) {
  ChoiceReason best;
  for (int32_t c = 0; c < static_cast<int32_t>(compared.size()); ++c) {
    if (std::binary_search(chosen.begin(), chosen.end(), c)) continue;
    const ChoiceReason other = reason(c, compared, bias, 0.0f);
    if (best.candidate < 0 || other.score + other.bias > best.score + best.bias) best = other;
  }
  return best;
}

View<const float> compared_by(const GateDescriptor& gate, const GateSaved& saved) {
  return gate.score_before_selection ? saved.scores.view() : saved.logits.view();
}

}  // namespace

std::vector<TokenReasons> explain(const GateDescriptor& gate, std::span<const float> selection_bias,
                                  const Route& route, const GateSaved& saved) {
  const View<const float> compared = compared_by(gate, saved);
  AGORA_CHECK_EQ(compared.rows, route.tokens());
  std::vector<TokenReasons> reasons(static_cast<size_t>(route.tokens()));
  for (int64_t t = 0; t < route.tokens(); ++t) {
    const auto first = static_cast<size_t>(route.first[t]);
    const auto chosen = std::span(route.expert).subspan(first, route.first[t + 1] - first);
    for (size_t i = 0; i < chosen.size(); ++i) {
      reasons[t].chosen.push_back(
          reason(chosen[i], compared.row_span(t), selection_bias, route.weight[first + i]));
    }
    reasons[t].runner_up = best_of_the_others(chosen, compared.row_span(t), selection_bias);
  }
  return reasons;
}

void name_runners_up(const GateDescriptor& gate, std::span<const float> selection_bias,
                     const GateSaved& saved, Route& route) {
  const View<const float> compared = compared_by(gate, saved);
  AGORA_CHECK_EQ(compared.rows, route.tokens());
  route.runner_up.resize(static_cast<size_t>(route.tokens()));
  for (int64_t t = 0; t < route.tokens(); ++t) {
    const auto first = static_cast<size_t>(route.first[t]);
    const auto chosen = std::span(route.expert).subspan(first, route.first[t + 1] - first);
    const auto behind_the_seam = compared.row_span(t).first(static_cast<size_t>(gate.experts));
    route.runner_up[t] = best_of_the_others(chosen, behind_the_seam, selection_bias).candidate;
  }
}

}  // namespace agora::moe
