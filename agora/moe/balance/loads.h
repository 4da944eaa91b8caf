// How evenly the experts are loaded: the numbers that meters show.
//
//   LoadSpread spread = load_spread(expert_loads(route, E));
//
// Any thread (values).
#pragma once

#include <cstdint>
#include <span>

namespace agora::moe {

struct LoadSpread {
  double max_violation = 0;  // MaxVio (Wang 2024): (largest - mean) / mean; 0 is even, E - 1 is all on one
  double variation = 0;      // coefficient of variation: standard deviation / mean
  double entropy = 0;        // of the loads' shares, in nats; log E is even, 0 is all on one
};

// All zero when there is no load at all.
LoadSpread load_spread(std::span<const int64_t> loads);

}  // namespace agora::moe
