// Which candidates a token gets: the selections of GateDescriptor, on keys (score plus selection bias).
//
//   top_k(keys, chosen);                                  // one token: keys [C], chosen [K]
//   grouped_top_k(gate, keys, chosen);
//   expert_choice(keys_of_all_tokens, tokens_each, route);
//
// Equal keys: the lower number wins, of experts, groups and tokens alike. Chosen numbers come out ascending.
// Keys are finite. Any thread.
#pragma once

#include <cstdint>
#include <span>

#include "agora/moe/gate/descriptor.h"
#include "agora/moe/route.h"
#include "agora/tensor/view.h"

namespace agora::moe {

// The chosen.size() largest of keys; chosen.size() <= keys.size(). O(C K), K being small.
void top_k(std::span<const float> keys, std::span<int32_t> chosen);

// A group's key is the sum of its group_score_top best keys; the groups_chosen best groups stay, and the top
// k of their experts are chosen. (Hugging Face masks the other groups' keys with 0 where DeepSeek's own code
// uses -infinity: with negative biases 0 could win. Here other groups are out.)
void grouped_top_k(const GateDescriptor& gate, std::span<const float> keys, std::span<int32_t> chosen);

// Each expert takes its tokens_each best tokens (Zhou 2022): keys [T, E]. Writes route.first and
// route.expert. A token may get no expert, or all of them. Depends on the whole batch by its nature.
void expert_choice(tensor::View<const float> keys, int64_t tokens_each, Route& route);

// How many tokens each expert takes: T K / E, at least 1 while there are tokens, at most T.
int64_t expert_choice_tokens(const GateDescriptor& gate, int64_t tokens);

}  // namespace agora::moe
