// The losses that keep a gate from favouring few experts, each with its gradient by the gate's logits.
//
//   std::vector<float> f = load_shares(expert_loads(route, C));
//   float aux = switch_loss(compute, Score::softmax, logits, f, coefficient, dlogits);
//   float z = router_z_loss(compute, logits, coefficient, dlogits);
//
// Each returns coefficient * loss and adds coefficient * d(loss)/d(logits) to dlogits (empty: only the loss).
// Sums over tokens go in fixed blocks, in ascending order. Any thread; the pool runs one loop at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "agora/kernels/compute.h"
#include "agora/moe/gate/descriptor.h"
#include "agora/moe/route.h"
#include "agora/tensor/view.h"

namespace agora::moe {

using kernels::Compute;
using tensor::View;

// Shares of all choices, sum 1; all 0 when there are none. The same whatever the loads are counted over: a
// sequence, a batch, or all micro-batches of a step (the global-batch loss, Qiu 2025, "Demons in the Detail":
// add the loads up and pass the shares of the sum with each micro-batch).
std::vector<float> load_shares(std::span<const int64_t> loads);

// Switch's loss (Fedus 2022): C * sum_c f_c P_c, with f_c the share of choices that candidate c got, P_c its
// mean probability over the T tokens. 1 when both are even, for any K (Hugging Face's variant is K times
// that). Probabilities are softmax(logits), or sigmoid scores divided by their sum (DeepSeek-V3). f is taken
// as a constant, as everywhere. shares [C], logits and dlogits [T, C].
float switch_loss(const Compute& compute, Score score, View<const float> logits,
                  std::span<const float> shares, float coefficient, View<float> dlogits);

// The same for each sequence by itself with its own shares, then the mean over sequences (DeepSeek-V3's
// sequence-wise loss). Sequence s is tokens first[s] .. first[s + 1] - 1; empty sequences do not count.
// candidates [C]: the number in the route of each column of the logits.
float sequence_switch_loss(const Compute& compute, Score score, View<const float> logits, const Route& route,
                           std::span<const int32_t> candidates, std::span<const int32_t> sequence_first,
                           float coefficient, View<float> dlogits);

// The router z-loss (Zoph 2022, ST-MoE): mean over tokens of (log sum exp logits)^2.
float router_z_loss(const Compute& compute, View<const float> logits, float coefficient, View<float> dlogits);

}  // namespace agora::moe
