#include <algorithm>
#include <numeric>
#include <vector>

#include "agora/base/check.h"
#include "agora/moe/gate/select.h"

namespace agora::moe {

int64_t expert_choice_tokens(const GateDescriptor& gate, int64_t tokens) {
  return std::min(tokens, std::max<int64_t>(1, tokens * gate.chosen / gate.experts));
}

void expert_choice(tensor::View<const float> keys, int64_t tokens_each, Route& route) {
  const int64_t tokens = keys.rows;
  const int64_t experts = keys.cols;
  AGORA_CHECK_LE(tokens_each, tokens);
  std::vector<uint8_t> taken(static_cast<size_t>(tokens * experts), 0);
  std::vector<int32_t> order(static_cast<size_t>(tokens));
  for (int64_t e = 0; e < experts; ++e) {
    std::iota(order.begin(), order.end(), 0);
    std::nth_element(order.begin(), order.begin() + std::max<int64_t>(tokens_each - 1, 0), order.end(),
                     [&](int32_t a, int32_t b) {
                       const float key_a = keys.row(a)[e];
                       const float key_b = keys.row(b)[e];
                       return key_a != key_b ? key_a > key_b : a < b;
                     });
    for (int64_t i = 0; i < tokens_each; ++i) taken[order[i] * experts + e] = 1;
  }
  route.first.assign(1, 0);
  route.expert.clear();
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t e = 0; e < experts; ++e) {
      if (taken[t * experts + e] != 0) route.expert.push_back(static_cast<int32_t>(e));
    }
    route.first.push_back(static_cast<int32_t>(route.expert.size()));
  }
}

}  // namespace agora::moe
