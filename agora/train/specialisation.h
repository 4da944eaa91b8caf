// What the experts of a trained model turned out to be for: the numbers behind `agora explain` on a data set.
//
//   Specialisation s = meter.specialisation();      // specialisation_meter.h counts, this is the outcome
//   s.layers[1].token_share.at(expert, domain)
//
// Plain values; any thread. E experts, D domains (kinds of text), K choices per token.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "agora/base/check.h"

namespace agora::train {

// A table of numbers, row by row.
struct Table {
  int64_t rows = 0;
  int64_t cols = 0;
  std::vector<double> cells;

  Table() = default;
  Table(int64_t r, int64_t c) : rows(r), cols(c), cells(static_cast<size_t>(r * c)) {}

  double& at(int64_t row, int64_t col) { return cells[index(row, col)]; }
  double at(int64_t row, int64_t col) const { return cells[index(row, col)]; }

 private:
  size_t index(int64_t row, int64_t col) const {
    AGORA_CHECK(row >= 0 && row < rows && col >= 0 && col < cols);
    return static_cast<size_t>(row * cols + col);
  }
};

// How much knowing the expert of a random choice tells of its token's domain, and how much of that is chance:
// few tokens, or tokens of one text that hang together, make some of it out of nothing. The null distribution
// deals the domains anew to whole sequences.
struct MutualInformation {
  double bits = 0;
  double normalised = 0;      // bits / min(H(expert), H(domain)), 0 .. 1; 0 where that entropy is 0
  double null_mean_bits = 0;  // of the permutations
  double null_q95_bits = 0;   // their 95 % quantile: above it is more than chance
  double p_value = 1;         // (1 + permutations with as much) / (1 + permutations)
  int64_t permutations = 0;
  int64_t blocks = 0;  // that were shuffled; with few of them the p-value can not get small
};

// How evenly the work is spread over E experts, those that are open and need a call. Entropies in bits.
struct Balance {
  double load_entropy = 0;      // of the mean load; log2(E) when even
  double load_entropy_max = 0;  // log2(E)
  double token_entropy = 0;  // mean over tokens of their weights' entropy; log2(K) when a token mixes evenly
  double max_violation = 0;  // (largest load - mean) / mean; MaxVio of DeepSeek's loss-free balancing (2024)
  double variation = 0;      // standard deviation of the loads / mean
};

struct TopToken {
  int32_t token = 0;
  int64_t count = 0;  // tokens that the expert got
  double lift = 0;    // share among the expert's tokens / share among all tokens
};

struct LayerSpecialisation {
  int64_t tokens = 0;
  int64_t choices = 0;
  std::vector<double> load;  // [E] share of the choices; sums to 1
  Table mass_share;          // [E, D] share of the domain's gate weight; columns sum to 1
  Table token_share;         // [E, D] share of the domain's tokens that chose the expert; columns sum to K
  MutualInformation information;
  Balance balance;
  Table together;       // [E, E] tokens that chose both; the diagonal: tokens that chose the expert
  Table together_lift;  // [E, E] see together_lift() in specialisation_statistics.h; 1: as often as chance
                        // has it
  std::vector<std::vector<TopToken>> top_tokens;  // [E] most telling first
};

struct Specialisation {
  std::vector<LayerSpecialisation> layers;
  bool top_tokens_exact = true;  // false: counts are lower bounds, see TopTokens
};

// How much the answer changes when an expert is missing: its summands do not come, as if its host had failed,
// and a gate that normalises makes up for them with the others.
struct ExpertAblation {
  double loss_change = 0;    // nats per token: loss without it - loss with it; positive: it was of use
  double changed_share = 0;  // share of positions whose likeliest next token changed
};

struct Ablation {
  double loss = 0;  // with every expert, nats per token
  int64_t tokens = 0;
  std::vector<std::vector<ExpertAblation>> layers;  // [L][E]
};

}  // namespace agora::train
