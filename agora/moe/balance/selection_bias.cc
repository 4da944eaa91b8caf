#include "agora/moe/balance/selection_bias.h"

#include "agora/base/check.h"

namespace agora::moe {

void move_selection_bias(std::span<const int64_t> loads, float rate, std::span<float> bias) {
  AGORA_CHECK_LE(loads.size(), bias.size());
  int64_t sum = 0;
  for (const int64_t load : loads) sum += load;
  // load against mean without a division: load * E against the sum.
  const auto experts = static_cast<int64_t>(loads.size());
  for (int64_t e = 0; e < experts; ++e) {
    if (loads[e] * experts < sum) bias[e] += rate;
    if (loads[e] * experts > sum) bias[e] -= rate;
  }
}

}  // namespace agora::moe
