// What a held expert costs beyond its numbers: the line bytes_per_expert_overhead of `agora bench swarm`.
//
//   AGORA_ASSIGN_OR_RETURN(double bytes, bytes_per_expert_overhead(compute, 1000));
//
// The heap in use after a store has adopted so many experts, less what it was, less the bytes of their
// tensors (weights, gradients, moments, packs); for each. What the host's loop knows of an expert besides -
// its own record, leadership, holders - is in it too. 925 bytes: 416 the Expert, 110 the heads of its seven
// allocations, 400 the three maps that know of it. No other thread may allocate meanwhile. One thread.
#pragma once

#include "agora/moe/local_experts.h"

namespace agora::swarm {

// experts: 1 to 65,536. InvalidArgument otherwise.
StatusOr<double> bytes_per_expert_overhead(const moe::Compute& compute, int64_t experts);

}  // namespace agora::swarm
