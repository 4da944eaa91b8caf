// The formulas of specialisation, each a pure function of counts.
//
//   double bits = mutual_information_bits(counts);             // counts [experts, domains]
//   MutualInformation mi = mutual_information(blocks, domains, permutations, rng);
//
// Any thread. Counts that are all zero give 0, never NaN.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "agora/base/rng.h"
#include "agora/train/specialisation.h"

namespace agora::train {

// [cols] of them.
std::vector<double> column_sums(const Table& table);

// Of numbers >= 0 that need not sum to 1.
double entropy_bits(std::span<const double> weights);

// Between row and column of a table of counts. The plain estimate: with n counts it is too high by about
// (rows - 1)(cols - 1) / (2 n ln 2) bits even where row and column have nothing to do with each other (Miller
// 1955), which is what the null distribution shows.
double mutual_information_bits(const Table& counts);

// The choices of tokens that share a domain for sure (a sequence, or a few of one domain), by expert.
struct CountBlock {
  int32_t domain = 0;
  std::vector<uint32_t> choices;  // [E]
};

// Observed, and under `permutations` shuffles of the blocks' domains. Cost: permutations x blocks x E
// additions.
MutualInformation mutual_information(std::span<const CountBlock> blocks, int64_t experts, int64_t domains,
                                     int64_t permutations, Rng rng);

// The balance of loads [E]; token_entropy is left 0.
Balance balance_of(std::span<const int64_t> loads);

// together [E, E] as in LayerSpecialisation -> how much more often a pair is chosen together than pairs of
// such loads are on the average: together(a, b) / (load_a load_b), divided by the same ratio of the sums over
// all pairs. So 1 means chance for any K; the plain ratio to independence would call every pair of a top-2
// gate rare. The diagonal is 1.
Table together_lift(const Table& together);

}  // namespace agora::train
