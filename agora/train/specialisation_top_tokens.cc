#include "agora/train/specialisation_top_tokens.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>

#include "agora/base/check.h"

namespace agora::train {

TopTokens::TopTokens(int64_t rows, int64_t vocab, int64_t exact_bytes_max)
    : vocab_(vocab),
      exact_(rows == 0 || vocab <= exact_bytes_max / static_cast<int64_t>(sizeof(uint32_t)) / rows),
      row_totals_(static_cast<size_t>(rows)) {
  if (exact_) {
    counts_.resize(static_cast<size_t>(rows * vocab));
  } else {
    sketches_.resize(static_cast<size_t>(rows));
  }
}

void TopTokens::add(int64_t row, int32_t token) {
  AGORA_CHECK(row >= 0 && row < static_cast<int64_t>(row_totals_.size()));
  AGORA_CHECK(token >= 0 && token < vocab_);
  ++row_totals_[row];
  if (exact_) {
    ++counts_[row * vocab_ + token];
    return;
  }
  std::vector<Counter>& sketch = sketches_[row];
  const auto found = std::ranges::find(sketch, token, &Counter::token);
  if (found != sketch.end()) {
    ++found->count;
  } else if (static_cast<int64_t>(sketch.size()) < kSketchTokens) {
    sketch.push_back({.token = token, .count = 1, .error = 0});
  } else {
    Counter& rarest = *std::ranges::min_element(sketch, {}, &Counter::count);
    rarest = {.token = token, .count = rarest.count + 1, .error = rarest.count};
  }
}

std::vector<TopTokens::Counter> TopTokens::counters_of(int64_t row) const {
  if (!exact_) return sketches_[row];
  std::vector<Counter> counters;
  for (int64_t token = 0; token < vocab_; ++token) {
    const uint32_t count = counts_[row * vocab_ + token];
    if (count > 0) counters.push_back({.token = static_cast<int32_t>(token), .count = count, .error = 0});
  }
  return counters;
}

std::vector<TopToken> TopTokens::top(int64_t row, std::span<const uint32_t> totals, int64_t limit) const {
  AGORA_CHECK_EQ(static_cast<int64_t>(totals.size()), vocab_);
  const double row_total = static_cast<double>(row_totals_[row]);
  const double total = static_cast<double>(std::accumulate(totals.begin(), totals.end(), uint64_t{0}));
  std::vector<TopToken> tokens;
  for (const Counter& counter : counters_of(row)) {
    const int64_t count = int64_t{counter.count} - counter.error;
    if (count < kCountMin || totals[counter.token] == 0) continue;
    const double lift = static_cast<double>(count) / row_total / (totals[counter.token] / total);
    if (lift > 1) tokens.push_back({.token = counter.token, .count = count, .lift = lift});
  }
  std::ranges::sort(tokens, [](const TopToken& a, const TopToken& b) {
    const auto telling = [](const TopToken& t) { return static_cast<double>(t.count) * std::log2(t.lift); };
    return std::tuple(-telling(a), a.token) < std::tuple(-telling(b), b.token);
  });
  if (static_cast<int64_t>(tokens.size()) > limit) tokens.resize(static_cast<size_t>(limit));
  return tokens;
}

}  // namespace agora::train
