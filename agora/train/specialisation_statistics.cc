#include "agora/train/specialisation_statistics.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

#include "agora/base/check.h"
#include "agora/moe/balance/loads.h"

namespace agora::train {
namespace {

double sum_of(std::span<const double> values) { return std::accumulate(values.begin(), values.end(), 0.0); }

std::vector<double> row_sums(const Table& table) {
  std::vector<double> sums(static_cast<size_t>(table.rows));
  for (int64_t r = 0; r < table.rows; ++r) {
    for (int64_t c = 0; c < table.cols; ++c) sums[r] += table.at(r, c);
  }
  return sums;
}

// The counts by expert and domain when block b belongs to domain_of[b].
Table counts_of(std::span<const CountBlock> blocks, std::span<const int32_t> domain_of, int64_t experts,
                int64_t domains) {
  // By domain first, so that a block adds to neighbours; turned round at the end.
  std::vector<uint64_t> sums(static_cast<size_t>(experts * domains));
  for (size_t b = 0; b < blocks.size(); ++b) {
    uint64_t* row = sums.data() + domain_of[b] * experts;
    for (int64_t e = 0; e < experts; ++e) row[e] += blocks[b].choices[e];
  }
  Table counts(experts, domains);
  for (int64_t d = 0; d < domains; ++d) {
    for (int64_t e = 0; e < experts; ++e) counts.at(e, d) = static_cast<double>(sums[d * experts + e]);
  }
  return counts;
}

void shuffle(std::span<int32_t> values, Rng& rng) {
  for (size_t i = values.size(); i > 1; --i)
    std::swap(values[i - 1], values[rng.below(static_cast<uint32_t>(i))]);
}

}  // namespace

std::vector<double> column_sums(const Table& table) {
  std::vector<double> sums(static_cast<size_t>(table.cols));
  for (int64_t r = 0; r < table.rows; ++r) {
    for (int64_t c = 0; c < table.cols; ++c) sums[c] += table.at(r, c);
  }
  return sums;
}

double entropy_bits(std::span<const double> weights) {
  const double total = sum_of(weights);
  if (!(total > 0)) return 0;
  double bits = 0;
  for (const double w : weights) {
    if (w > 0) bits -= w / total * std::log2(w / total);
  }
  return std::max(0.0, bits);
}

double mutual_information_bits(const Table& counts) {
  const double total = sum_of(counts.cells);
  if (!(total > 0)) return 0;
  const std::vector<double> rows = row_sums(counts);
  const std::vector<double> columns = column_sums(counts);
  double bits = 0;
  for (int64_t r = 0; r < counts.rows; ++r) {
    for (int64_t c = 0; c < counts.cols; ++c) {
      const double n = counts.at(r, c);
      if (n > 0) bits += n / total * std::log2(n * total / (rows[r] * columns[c]));
    }
  }
  return std::max(0.0, bits);
}

MutualInformation mutual_information(std::span<const CountBlock> blocks, int64_t experts, int64_t domains,
                                     int64_t permutations, Rng rng) {
  std::vector<int32_t> domain_of;
  for (const CountBlock& block : blocks) {
    AGORA_CHECK_EQ(static_cast<int64_t>(block.choices.size()), experts);
    domain_of.push_back(block.domain);
  }
  const Table observed = counts_of(blocks, domain_of, experts, domains);
  MutualInformation result;
  result.bits = mutual_information_bits(observed);
  const double limit = std::min(entropy_bits(row_sums(observed)), entropy_bits(column_sums(observed)));
  result.normalised = limit > 0 ? std::min(1.0, result.bits / limit) : 0;
  result.permutations = permutations;
  result.blocks = static_cast<int64_t>(blocks.size());
  if (permutations <= 0) return result;

  std::vector<double> null;
  for (int64_t p = 0; p < permutations; ++p) {
    shuffle(domain_of, rng);
    null.push_back(mutual_information_bits(counts_of(blocks, domain_of, experts, domains)));
  }
  std::ranges::sort(null);
  result.null_mean_bits = sum_of(null) / static_cast<double>(permutations);
  result.null_q95_bits = null[static_cast<size_t>(std::ceil(0.95 * static_cast<double>(permutations))) - 1];
  // A permutation that only renames domains gives the same information up to rounding: it counts as "as
  // much".
  const double as_much = result.bits * (1 - 1e-9);
  const auto at_least = std::ranges::count_if(null, [as_much](double bits) { return bits >= as_much; });
  result.p_value = static_cast<double>(1 + at_least) / static_cast<double>(1 + permutations);
  return result;
}

Balance balance_of(std::span<const int64_t> loads) {
  if (loads.empty()) return {};
  const moe::LoadSpread spread = moe::load_spread(loads);
  return {.load_entropy = spread.entropy / std::numbers::ln2,
          .load_entropy_max = std::log2(static_cast<double>(loads.size())),
          .token_entropy = 0,
          .max_violation = spread.max_violation,
          .variation = spread.variation};
}

Table together_lift(const Table& together) {
  const int64_t experts = together.rows;
  double pairs = 0;
  double expected = 0;
  for (int64_t a = 0; a < experts; ++a) {
    for (int64_t b = 0; b < experts; ++b) {
      if (a == b) continue;
      pairs += together.at(a, b);
      expected += together.at(a, a) * together.at(b, b);
    }
  }
  Table lift(experts, experts);
  for (int64_t a = 0; a < experts; ++a) {
    for (int64_t b = 0; b < experts; ++b) {
      const double by_chance = together.at(a, a) * together.at(b, b);
      const bool known = a != b && by_chance > 0 && pairs > 0;
      lift.at(a, b) = known ? together.at(a, b) / by_chance * expected / pairs : 1;
    }
  }
  return lift;
}

}  // namespace agora::train
