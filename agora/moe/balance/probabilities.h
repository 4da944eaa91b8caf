// A token's probabilities over all candidates, as the balance losses and the meters see them.
//
//   probabilities(Score::softmax, logits, p);
//   double entropy = routing_entropy(compute, Score::softmax, logits_of_all_tokens);
//
// softmax(logits); or sigmoid scores divided by their sum, as DeepSeek-V3 does for its balance loss. Any
// thread.
#pragma once

#include <span>

#include "agora/kernels/compute.h"
#include "agora/moe/gate/descriptor.h"
#include "agora/tensor/view.h"

namespace agora::moe {

// Writes p [C]. Returns what the scores were divided by (1 for softmax). All 0 where every sigmoid
// underflows.
float probabilities(Score score, std::span<const float> logits, std::span<float> p);

// Mean over tokens of the entropy of their probabilities, in nats: log C is undecided, 0 is sure. 0 for no
// tokens.
double routing_entropy(const kernels::Compute& compute, Score score, tensor::View<const float> logits);

}  // namespace agora::moe
