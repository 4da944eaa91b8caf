#include "agora/moe/absent_experts.h"

namespace agora::moe {

StatusOr<MixResult> AbsentExperts::mix(LayerId layer, View<const float> x, const Route& route, Keep,
                                       Deadline deadline, View<float> y) {
  if (layer != layer_ || expert_.value < 0) return experts_.mix(layer, x, route, Keep::nothing, deadline, y);
  present_ = Route{.first = {0}, .expert = {}, .weight = {}, .normalised = route.normalised};
  for (int64_t t = 0; t < route.tokens(); ++t) {
    for (int32_t i = route.first[t]; i < route.first[t + 1]; ++i) {
      if (route.expert[i] == expert_.value) continue;
      present_.expert.push_back(route.expert[i]);
      present_.weight.push_back(route.weight[i]);
    }
    present_.first.push_back(static_cast<int32_t>(present_.expert.size()));
  }
  AGORA_ASSIGN_OR_RETURN(MixResult result, experts_.mix(layer, x, present_, Keep::nothing, deadline, y));
  std::vector<uint8_t> arrived(static_cast<size_t>(route.choices()), 0);
  size_t next = 0;  // of what was asked for
  for (size_t i = 0; i < arrived.size(); ++i) {
    if (route.expert[i] != expert_.value) arrived[i] = result.arrived[next++];
  }
  result.arrived = std::move(arrived);
  return result;
}

Status AbsentExperts::mix_backward(Ticket, View<const float>, Deadline, View<float>, std::span<float>) {
  return absl::FailedPreconditionError("experts with one away only answer; they are not trained");
}

}  // namespace agora::moe
