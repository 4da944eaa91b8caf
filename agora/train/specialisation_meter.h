// Counts which experts serve which tokens and domains while a data set runs through a model.
//
//   SpecialisationMeter meter({.layers = L, .experts = E, .domains = D, .vocab = V});
//   const SequenceId sequence = meter.add_sequence(domain);
//   meter.observe(LayerId{l}, sequence, token, choices);       // every layer, every token of the sequence
//   Specialisation s = meter.specialisation(Rng(seed));
//
// Memory, whatever the amount of data: L E (8 E + 24 D) bytes, kBlockCountsMax counts for the null, and
// TopTokens' share. One thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "agora/base/ids.h"
#include "agora/base/rng.h"
#include "agora/train/specialisation.h"
#include "agora/train/specialisation_statistics.h"
#include "agora/train/specialisation_top_tokens.h"

namespace agora::train {

// A sequence of tokens in the meter's eyes; beyond a limit, sequences of one domain share an id.
using SequenceId = Id<struct SequenceTag>;

constexpr int32_t kNoToken = -1;  // a row that is no token of a vocabulary: an image patch

struct ExpertWeight {
  ExpertId expert;
  float weight = 0;
};

class SpecialisationMeter {
 public:
  struct Shape {
    int64_t layers = 0;   // with a mixture; each has the same number of experts
    int64_t experts = 0;  // that a gate can choose, zero and copy experts counted
    int64_t domains = 1;
    int64_t vocab = 0;
    // [L] the experts whose loads are held against each other; empty: all that a gate can choose.
    std::vector<std::vector<ExpertId>> balanced = {};
  };

  static constexpr int64_t kBlockCountsMax = int64_t{4} << 20;  // 16 MiB
  static constexpr int64_t kPermutations = 200;
  static constexpr int64_t kTopTokens = 12;  // listed for each expert

  explicit SpecialisationMeter(Shape shape, int64_t block_counts_max = kBlockCountsMax);

  // Tokens of one sequence belong together: the null moves them as one. Beyond block_counts_max counts,
  // sequences of one domain share ids in turn, which only makes the test coarser. domain < domains.
  SequenceId add_sequence(int32_t domain);

  // The row's choices in one layer, in any order; none is fine. Weights that are no finite number >= 0 count
  // as 0. token < vocab, or kNoToken.
  void observe(LayerId layer, SequenceId sequence, int32_t token, std::span<const ExpertWeight> choices);

  // Everything so far. Cost: kPermutations x blocks x E additions a layer.
  Specialisation specialisation(const Rng& rng) const;

 private:
  struct Layer {
    std::vector<int64_t> domain_tokens;  // [D]
    std::vector<uint32_t> token_totals;  // [V]
    std::vector<CountBlock> blocks;      // by SequenceId
    Table mass;                          // [E, D]
    Table chosen_by;                     // [E, D] tokens
    Table together;                      // [E, E]
    double entropy_sum = 0;
    int64_t tokens_weighted = 0;  // that entropy_sum is over
  };

  LayerSpecialisation specialisation_of(int64_t layer, const Rng& rng) const;

  Shape shape_;
  int64_t blocks_per_domain_;
  std::vector<std::vector<SequenceId>> blocks_of_domain_;
  std::vector<int64_t> sequences_of_domain_;
  std::vector<Layer> layers_;
  TopTokens top_tokens_;
  std::vector<double> weights_;  // scratch of observe
};

}  // namespace agora::train
