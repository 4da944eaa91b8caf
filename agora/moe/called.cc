#include "agora/moe/called.h"

#include <algorithm>

#include "agora/base/check.h"

namespace agora::moe {

const Route& called_part(const GateDescriptor& gate, const Route& route, Route& scratch) {
  if (gate.candidates() == gate.experts) return route;
  scratch.runner_up = route.runner_up;
  scratch.first.assign(1, 0);
  scratch.expert.clear();
  scratch.weight.clear();
  for (int64_t t = 0; t < route.tokens(); ++t) {
    for (int32_t i = route.first[t]; i < route.first[t + 1] && route.expert[i] < gate.experts; ++i) {
      scratch.expert.push_back(route.expert[i]);
      scratch.weight.push_back(route.weight[i]);
    }
    scratch.first.push_back(static_cast<int32_t>(scratch.expert.size()));
  }
  return scratch;
}

int64_t count_called(const GateDescriptor& gate, const Route& route) {
  return std::count_if(route.expert.begin(), route.expert.end(), [&](int32_t e) { return e < gate.experts; });
}

void spread_arrived(const GateDescriptor& gate, const Route& route, std::span<const uint8_t> of_called,
                    std::vector<uint8_t>& arrived) {
  arrived.assign(route.expert.size(), 1);
  size_t next = 0;
  for (size_t i = 0; i < arrived.size(); ++i) {
    if (route.expert[i] < gate.experts) arrived[i] = of_called[next++];
  }
  AGORA_CHECK_EQ(next, of_called.size());
}

void spread_dweights(const GateDescriptor& gate, const Route& route, std::span<const float> of_called,
                     std::span<float> dweights) {
  size_t next = 0;
  for (size_t i = 0; i < dweights.size(); ++i) {
    if (route.expert[i] < gate.experts) dweights[i] = of_called[next++];
  }
  AGORA_CHECK_EQ(next, of_called.size());
}

}  // namespace agora::moe
