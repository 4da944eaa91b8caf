#include <algorithm>
#include <functional>
#include <vector>

#include "agora/base/check.h"
#include "agora/moe/gate/select.h"

namespace agora::moe {
namespace {

// The sum of the `top` largest, largest first.
float sum_of_best(std::span<const float> keys, int64_t top) {
  std::vector<float> sorted(keys.begin(), keys.end());
  std::partial_sort(sorted.begin(), sorted.begin() + top, sorted.end(), std::greater<>());
  float sum = 0.0f;
  for (int64_t i = 0; i < top; ++i) sum += sorted[i];
  return sum;
}

}  // namespace

void grouped_top_k(const GateDescriptor& gate, std::span<const float> keys, std::span<int32_t> chosen) {
  AGORA_CHECK_EQ(static_cast<int64_t>(keys.size()), gate.experts);
  const int64_t group_size = gate.experts / gate.groups;
  std::vector<float> group_keys(static_cast<size_t>(gate.groups));
  for (int64_t g = 0; g < gate.groups; ++g) {
    group_keys[g] = sum_of_best(keys.subspan(g * group_size, group_size), gate.group_score_top);
  }
  std::vector<int32_t> groups(static_cast<size_t>(gate.groups_chosen));
  top_k(group_keys, groups);

  // The chosen groups side by side, in ascending order, so that the lower expert number still wins a tie.
  std::vector<float> kept;
  kept.reserve(groups.size() * group_size);
  for (const int32_t g : groups) {
    kept.insert(kept.end(), keys.begin() + g * group_size, keys.begin() + (g + 1) * group_size);
  }
  top_k(kept, chosen);
  for (int32_t& c : chosen) {
    c = static_cast<int32_t>(groups[c / group_size] * group_size + c % group_size);
  }
}

}  // namespace agora::moe
