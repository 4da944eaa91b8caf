// The softmax and its logarithm, safe for any finite scores.
//
//   const double total = log_sum_exp(scores);
//   const double total = log_normalise(scores);   // scores become log probabilities
//
// Any thread.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

namespace agora::moe::classic {

// log sum exp(score); -infinity for no scores or scores that are all -infinity.
inline double log_sum_exp(std::span<const double> scores) {
  if (scores.empty()) return -std::numeric_limits<double>::infinity();
  const double largest = *std::ranges::max_element(scores);
  if (std::isinf(largest)) return largest;
  double sum = 0.0;
  for (const double s : scores) sum += std::exp(s - largest);
  return largest + std::log(sum);
}

// Scores become log softmax(scores); returns their log_sum_exp.
inline double log_normalise(std::span<double> scores) {
  const double total = log_sum_exp(scores);
  for (double& s : scores) s -= total;
  return total;
}

// Log values become values.
inline void exponentiate(std::span<double> scores) {
  for (double& s : scores) s = std::exp(s);
}

}  // namespace agora::moe::classic
