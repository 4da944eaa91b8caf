#include "agora/swarm/averaging/outer_step.h"

#include "agora/base/check.h"

namespace agora::swarm {
namespace {

std::vector<float> weights_of(const std::vector<Delta>& deltas) {
  double rows = 0;
  for (const Delta& delta : deltas) rows += static_cast<double>(delta.rows);
  std::vector<float> weights;
  for (const Delta& delta : deltas) {
    weights.push_back(static_cast<float>(rows == 0 ? 1.0 / static_cast<double>(deltas.size())
                                                   : static_cast<double>(delta.rows) / rows));
  }
  return weights;
}

}  // namespace

void outer_step(const OuterSettings& settings, const std::vector<Delta>& deltas, size_t learned,
                std::span<float> values, std::span<float> momentum) {
  AGORA_CHECK(!deltas.empty() && momentum.size() == values.size() && learned <= values.size());
  for (const Delta& delta : deltas) AGORA_CHECK_EQ(delta.numbers.size(), values.size());
  const std::vector<float> weights = weights_of(deltas);
  const bool alone = deltas.size() == 1;
  for (size_t n = 0; n < values.size(); ++n) {
    float mean = 0;
    for (size_t i = 0; i < deltas.size(); ++i) mean += weights[i] * deltas[i].numbers[n];
    float move = mean;
    if (n < learned) {
      momentum[n] = settings.momentum * momentum[n] + (alone ? 0.0f : mean);
      if (!alone) move = settings.learning_rate * (mean + settings.momentum * momentum[n]);
    }
    values[n] -= move;
  }
}

}  // namespace agora::swarm
