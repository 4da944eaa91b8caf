// Which tokens an expert gets more than its share of: exact counts while they fit, a sketch of fixed size
// beyond.
//
//   TopTokens counts(experts, vocab, layers);
//   counts.add(row, token);                         // row: layer * E + expert
//   counts.top(row, totals, limit)
//
// The sketch is Space-Saving (Metwally, Agrawal, El Abbadi 2005), kSketchTokens counters a row: a token that
// makes up more than 1 / kSketchTokens of a row is never missed; a count given out is a lower bound. One
// thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "agora/train/specialisation.h"

namespace agora::train {

class TopTokens {
 public:
  static constexpr int64_t kExactBytesMax = int64_t{64} << 20;
  static constexpr int64_t kSketchTokens = 256;
  // Fewer sightings than this say nothing about a token: it is not listed.
  static constexpr int64_t kCountMin = 3;

  TopTokens(int64_t rows, int64_t vocab, int64_t exact_bytes_max = kExactBytesMax);

  bool exact() const { return exact_; }

  // row < rows, token < vocab. O(1) when exact, O(kSketchTokens) otherwise.
  void add(int64_t row, int32_t token);

  // At most `limit` tokens of the row, the most telling first: by count * log2(lift), the token's part in how
  // the row's distribution departs from that of all tokens. Only tokens with lift > 1. totals [V]: sightings
  // of each token in the layer, whatever the expert.
  std::vector<TopToken> top(int64_t row, std::span<const uint32_t> totals, int64_t limit) const;

 private:
  struct Counter {
    int32_t token = 0;
    uint32_t count = 0;
    uint32_t error = 0;  // how many of count may be another token's
  };

  std::vector<Counter> counters_of(int64_t row) const;

  int64_t vocab_;
  bool exact_;
  std::vector<uint32_t> counts_;                // exact: [rows, V]
  std::vector<std::vector<Counter>> sketches_;  // otherwise: [rows], each at most kSketchTokens
  std::vector<int64_t> row_totals_;
};

}  // namespace agora::train
