#include "agora/moe/gate/explain.h"

#include <algorithm>

#include "agora/base/check.h"

namespace agora::moe {
namespace {

// What one token's columns were compared by.
struct Compared {
  const GateSaved& saved;
  std::span<const float> scores;

  ChoiceReason reason(size_t column, float weight) const {
    const float bias = saved.bias.empty() ? 0.0f : saved.bias[column];
    return {saved.candidate[column], scores[column], bias, weight};
  }
  size_t column_of(int32_t candidate) const {
    return static_cast<size_t>(std::ranges::lower_bound(saved.candidate, candidate) -
                               saved.candidate.begin());
  }
  // Of the columns before `end`.
  ChoiceReason best_of_the_others(std::span<const int32_t> chosen, size_t end) const {
    ChoiceReason best;
    for (size_t c = 0; c < end; ++c) {
      if (std::ranges::binary_search(chosen, saved.candidate[c])) continue;
      const ChoiceReason other = reason(c, 0.0f);
      if (best.candidate < 0 || other.score + other.bias > best.score + best.bias) best = other;
    }
    return best;
  }
};

View<const float> compared_by(const GateDescriptor& gate, const GateSaved& saved) {
  return gate.score_before_selection ? saved.scores.view() : saved.logits.view();
}

}  // namespace

std::vector<TokenReasons> explain(const GateDescriptor& gate, const Route& route, const GateSaved& saved) {
  const View<const float> scores = compared_by(gate, saved);
  AGORA_CHECK_EQ(scores.rows, route.tokens());
  std::vector<TokenReasons> reasons(static_cast<size_t>(route.tokens()));
  for (int64_t t = 0; t < route.tokens(); ++t) {
    const Compared compared{saved, scores.row_span(t)};
    const std::span<const int32_t> chosen = route.experts_of(t);
    for (size_t i = 0; i < chosen.size(); ++i) {
      reasons[t].chosen.push_back(
          compared.reason(compared.column_of(chosen[i]), route.weight[route.first[t] + i]));
    }
    reasons[t].runner_up = compared.best_of_the_others(chosen, saved.candidate.size());
  }
  return reasons;
}

void name_runners_up(const GateDescriptor& gate, const GateSaved& saved, Route& route) {
  const View<const float> scores = compared_by(gate, saved);
  AGORA_CHECK_EQ(scores.rows, route.tokens());
  route.runner_up.resize(static_cast<size_t>(route.tokens()));
  for (int64_t t = 0; t < route.tokens(); ++t) {
    const Compared compared{saved, scores.row_span(t)};
    const size_t behind_the_seam = compared.column_of(static_cast<int32_t>(gate.experts));
    route.runner_up[t] = compared.best_of_the_others(route.experts_of(t), behind_the_seam).candidate;
  }
}

}  // namespace agora::moe
