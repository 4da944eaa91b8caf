// Balance without a loss (Wang 2024; DeepSeek-V3): the bias of an expert that got less than the mean goes up,
// of one that got more goes down.
//
//   move_selection_bias(loads, 0.001f, bias);
//
// The loads may come from anywhere: this gate's own step, or the sum over every gate of a swarm. Any thread
// (values).
#pragma once

#include <cstdint>
#include <span>

namespace agora::moe {

// bias[e] += rate * sign(mean - loads[e]) for the loads.size() first of bias. Candidates that need no call
// stand after the experts in bias and are left alone: they have no load to even out. Nothing moves when there
// was no load at all.
void move_selection_bias(std::span<const int64_t> loads, float rate, std::span<float> bias);

}  // namespace agora::moe
