#include "agora/train/specialisation_meter.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "agora/base/check.h"

namespace agora::train {
namespace {

// The cells of [E, D] divided by their column's total, where that is not 0.
template <class Total>
Table shares(const Table& table, const std::vector<Total>& column_totals) {
  Table out(table.rows, table.cols);
  for (int64_t r = 0; r < table.rows; ++r) {
    for (int64_t c = 0; c < table.cols; ++c) {
      const double total = static_cast<double>(column_totals[c]);
      if (total > 0) out.at(r, c) = table.at(r, c) / total;
    }
  }
  return out;
}

// Of loads, those of these experts.
std::vector<int64_t> loads_of(std::span<const ExpertId> experts, const std::vector<int64_t>& loads) {
  std::vector<int64_t> part;
  for (const ExpertId e : experts) part.push_back(loads[e.value]);
  return part;
}

}  // namespace

SpecialisationMeter::SpecialisationMeter(Shape shape, int64_t block_counts_max)
    : shape_(shape),
      blocks_per_domain_(std::max<int64_t>(
          1, block_counts_max / std::max<int64_t>(1, shape.layers * shape.experts * shape.domains))),
      blocks_of_domain_(static_cast<size_t>(shape.domains)),
      sequences_of_domain_(static_cast<size_t>(shape.domains)),
      layers_(static_cast<size_t>(shape.layers)),
      top_tokens_(shape.layers * shape.experts, shape.vocab) {
  AGORA_CHECK(shape_.balanced.empty() || std::ssize(shape_.balanced) == shape_.layers);
  for (Layer& layer : layers_) {
    layer.domain_tokens.resize(static_cast<size_t>(shape.domains));
    layer.token_totals.resize(static_cast<size_t>(shape.vocab));
    layer.mass = Table(shape.experts, shape.domains);
    layer.chosen_by = Table(shape.experts, shape.domains);
    layer.together = Table(shape.experts, shape.experts);
  }
}

SequenceId SpecialisationMeter::add_sequence(int32_t domain) {
  AGORA_CHECK(domain >= 0 && domain < shape_.domains);
  std::vector<SequenceId>& blocks = blocks_of_domain_[domain];
  const int64_t sequence = sequences_of_domain_[domain]++;
  if (static_cast<int64_t>(blocks.size()) == blocks_per_domain_) return blocks[sequence % blocks_per_domain_];
  for (Layer& layer : layers_) {
    layer.blocks.push_back(
        {.domain = domain, .choices = std::vector<uint32_t>(static_cast<size_t>(shape_.experts))});
  }
  blocks.push_back(SequenceId{static_cast<int64_t>(layers_.empty() ? 0 : layers_[0].blocks.size() - 1)});
  return blocks.back();
}

void SpecialisationMeter::observe(LayerId layer_id, SequenceId sequence, int32_t token,
                                  std::span<const ExpertWeight> choices) {
  AGORA_CHECK(layer_id.value >= 0 && layer_id.value < shape_.layers);
  AGORA_CHECK(token >= kNoToken && token < shape_.vocab);
  Layer& layer = layers_[layer_id.value];
  AGORA_CHECK(sequence.value >= 0 && sequence.value < static_cast<int64_t>(layer.blocks.size()));
  CountBlock& block = layer.blocks[sequence.value];
  ++layer.domain_tokens[block.domain];
  if (token != kNoToken) ++layer.token_totals[token];

  weights_.clear();
  double total = 0;
  for (const ExpertWeight& choice : choices) {
    const int32_t expert = choice.expert.value;
    const double weight = std::isfinite(choice.weight) && choice.weight > 0 ? choice.weight : 0;
    ++block.choices[expert];
    layer.mass.at(expert, block.domain) += weight;
    layer.chosen_by.at(expert, block.domain) += 1;
    if (token != kNoToken) top_tokens_.add(layer_id.value * shape_.experts + expert, token);
    for (const ExpertWeight& other : choices) layer.together.at(expert, other.expert.value) += 1;
    weights_.push_back(weight);
    total += weight;
  }
  if (total > 0) {
    layer.entropy_sum += entropy_bits(weights_);
    ++layer.tokens_weighted;
  }
}

LayerSpecialisation SpecialisationMeter::specialisation_of(int64_t index, const Rng& rng) const {
  const Layer& layer = layers_[index];
  LayerSpecialisation result;
  for (const int64_t tokens : layer.domain_tokens) result.tokens += tokens;
  std::vector<int64_t> loads(static_cast<size_t>(shape_.experts));
  for (const CountBlock& block : layer.blocks) {
    for (int64_t e = 0; e < shape_.experts; ++e) loads[e] += block.choices[e];
  }
  result.choices = std::accumulate(loads.begin(), loads.end(), int64_t{0});
  for (const int64_t load : loads) {
    result.load.push_back(static_cast<double>(load) /
                          static_cast<double>(std::max<int64_t>(1, result.choices)));
  }
  result.balance = balance_of(shape_.balanced.empty() ? loads : loads_of(shape_.balanced[index], loads));
  if (layer.tokens_weighted > 0) {
    result.balance.token_entropy = layer.entropy_sum / static_cast<double>(layer.tokens_weighted);
  }
  result.mass_share = shares(layer.mass, column_sums(layer.mass));
  result.token_share = shares(layer.chosen_by, layer.domain_tokens);
  result.information = mutual_information(layer.blocks, shape_.experts, shape_.domains, kPermutations, rng);
  result.together = layer.together;
  result.together_lift = together_lift(layer.together);
  for (int64_t e = 0; e < shape_.experts; ++e) {
    result.top_tokens.push_back(top_tokens_.top(index * shape_.experts + e, layer.token_totals, kTopTokens));
  }
  return result;
}

Specialisation SpecialisationMeter::specialisation(const Rng& rng) const {
  Specialisation result;
  result.top_tokens_exact = top_tokens_.exact();
  for (int64_t layer = 0; layer < shape_.layers; ++layer) {
    result.layers.push_back(specialisation_of(layer, rng.fork(static_cast<uint64_t>(layer))));
  }
  return result;
}

}  // namespace agora::train
