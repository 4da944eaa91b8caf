#include "agora/moe/route.h"

#include <cmath>

#include "absl/strings/str_format.h"

namespace agora::moe {
namespace {

Status validate_token(const Route& route, int64_t t, int64_t experts) {
  for (int32_t i = route.first[t]; i < route.first[t + 1]; ++i) {
    const int32_t expert = route.expert[i];
    if (expert < 0 || expert >= experts) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "route: token %d chose expert %d; there are experts 0 to %d", t, expert, experts - 1));
    }
    if (i > route.first[t] && route.expert[i - 1] >= expert) {
      return absl::InvalidArgumentError(
          absl::StrFormat("route: the experts of token %d do not ascend: %d stands before %d", t,
                          route.expert[i - 1], expert));
    }
    if (!std::isfinite(route.weight[i])) {
      return absl::InvalidArgumentError(
          absl::StrFormat("route: the weight of expert %d for token %d is not finite", expert, t));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<int64_t> expert_loads(const Route& route, int64_t experts) {
  std::vector<int64_t> loads(static_cast<size_t>(experts), 0);
  for (const int32_t expert : route.expert) {
    if (expert < experts) ++loads[expert];
  }
  return loads;
}

Status validate(const Route& route, int64_t tokens, int64_t experts) {
  if (route.tokens() != tokens) {
    return absl::InvalidArgumentError(
        absl::StrFormat("route: expected %d tokens, got %d", tokens, route.tokens()));
  }
  if (route.weight.size() != route.expert.size()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("route: %d experts but %d weights", route.expert.size(), route.weight.size()));
  }
  const int64_t end = route.first.empty() ? 0 : route.first.back();
  if (end != route.choices() || (!route.first.empty() && route.first.front() != 0)) {
    return absl::InvalidArgumentError(absl::StrFormat("route: expected choices 0 to %d, first names %d to %d",
                                                      route.choices(),
                                                      route.first.empty() ? 0 : route.first.front(), end));
  }
  for (int64_t t = 0; t < tokens; ++t) {
    if (route.first[t] > route.first[t + 1] || route.first[t + 1] > end) {
      return absl::InvalidArgumentError(absl::StrFormat("route: first descends after token %d", t));
    }
    AGORA_RETURN_IF_ERROR(validate_token(route, t, experts));
  }
  return absl::OkStatus();
}

}  // namespace agora::moe
