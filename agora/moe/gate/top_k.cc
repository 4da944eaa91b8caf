#include <algorithm>
#include <numeric>

#include "agora/base/check.h"
#include "agora/moe/gate/select.h"

namespace agora::moe {

void top_k(std::span<const float> keys, std::span<int32_t> chosen) {
  const auto candidates = static_cast<int32_t>(keys.size());
  const size_t k = chosen.size();
  AGORA_CHECK_LE(k, keys.size());
  if (k == 0) return;
  if (k == keys.size()) {
    std::iota(chosen.begin(), chosen.end(), 0);
    return;
  }
  // chosen[0 .. held) is the best so far, best first; a later candidate must be strictly better to pass an
  // earlier one.
  size_t held = 0;
  for (int32_t c = 0; c < candidates; ++c) {
    if (held == k && !(keys[c] > keys[chosen[k - 1]])) continue;
    size_t place = held < k ? held++ : k - 1;
    for (; place > 0 && keys[c] > keys[chosen[place - 1]]; --place) chosen[place] = chosen[place - 1];
    chosen[place] = c;
  }
  std::sort(chosen.begin(), chosen.end());
}

}  // namespace agora::moe
