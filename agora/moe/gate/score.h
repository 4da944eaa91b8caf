// From a token's logits to the weights of its chosen experts, and back.
//
//   score(Score::softmax, logits, scores);                 // over whatever the two spans hold
//   weigh(gate, logits, scores, chosen, weights);          // scores of all, or empty: scored after selection
//   weigh_backward(gate, logits, scores, chosen, dweights, dlogits);
//
// Selection itself has no gradient: which experts are chosen is piecewise constant in the logits, so all that
// the gate learns comes through the weights (and the losses of moe/balance). Sums go in ascending order. Any
// thread.
#pragma once

#include <cstdint>
#include <span>

#include "agora/moe/gate/descriptor.h"

namespace agora::moe {

// softmax: exp(l_i - max l) / sum; sigmoid: 1 / (1 + exp(-l_i)). scores may be logits.
void score(Score kind, std::span<const float> logits, std::span<float> scores);

// dlogits += dscores . d(scores)/d(logits), from the scores alone.
void score_backward(Score kind, std::span<const float> scores, std::span<const float> dscores,
                    std::span<float> dlogits);

// logits [C]; scores [C], or empty where the gate scores after selection; chosen [k] candidate numbers,
// ascending. Writes weights [k].
void weigh(const GateDescriptor& gate, std::span<const float> logits, std::span<const float> scores,
           std::span<const int32_t> chosen, std::span<float> weights);

// dweights [k]; adds to dlogits [C].
void weigh_backward(const GateDescriptor& gate, std::span<const float> logits, std::span<const float> scores,
                    std::span<const int32_t> chosen, std::span<const float> dweights,
                    std::span<float> dlogits);

// True where a token's weights always add up to `scale` (but for renormalise_epsilon).
bool weights_are_normalised(const GateDescriptor& gate);

}  // namespace agora::moe
