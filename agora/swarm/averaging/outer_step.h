// The outer step of DiLoCo (Douillard et al. 2023, arXiv 2311.08105): trunks drift apart for H steps, then
// meet.
//
//   outer_step({}, deltas, layout.learned(), values, momentum);   // values: what all started from
//
// With theta the trunk of the last round and theta_i what trainer i made of it:
//   delta_i = theta - theta_i,   delta = sum_i rows_i delta_i / sum_i rows_i
//   v <- mu v + delta,           theta <- theta - eta (delta + mu v)                        (Nesterov)
// The paper weighs trainers equally; here one that learned from few rows (it came late, it is slow) counts
// less. What no optimizer moves (selection biases) is averaged plainly. A round of one trainer takes its
// trunk as it is: an outer step is there to average. Sums go in the order given, so that all who have the
// same deltas get the same bits. Any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace agora::swarm {

struct OuterSettings {
  float learning_rate = 0.7f;  // eta
  float momentum = 0.9f;       // mu
};

struct Delta {
  std::span<const float> numbers;
  uint64_t rows = 0;
};

// All of one length; the first `learned` numbers take the outer step. deltas is not empty.
void outer_step(const OuterSettings& settings, const std::vector<Delta>& deltas, size_t learned,
                std::span<float> values, std::span<float> momentum);

}  // namespace agora::swarm
