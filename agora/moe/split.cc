#include "agora/moe/split.h"

#include "agora/base/check.h"

namespace agora::moe {
namespace {

// Adds choice i of token t to the part, opening a row for the token if it has none there yet.
void append(const Route& whole, int64_t t, int32_t i, RoutePart& part) {
  if (part.token.empty() || part.token.back() != t) {
    part.token.push_back(static_cast<int32_t>(t));
    part.route.first.push_back(part.route.first.back());
  }
  part.route.expert.push_back(whole.expert[i]);
  part.route.weight.push_back(whole.weight[i]);
  part.choice.push_back(i);
  ++part.route.first.back();
}

}  // namespace

std::vector<RoutePart> split(const Route& route, std::span<const int32_t> owner, int64_t parts) {
  std::vector<RoutePart> result(static_cast<size_t>(parts));
  for (RoutePart& part : result) part.route.first.push_back(0);
  for (int64_t t = 0; t < route.tokens(); ++t) {
    for (int32_t i = route.first[t]; i < route.first[t + 1]; ++i) {
      AGORA_CHECK_LT(static_cast<size_t>(route.expert[i]), owner.size());
      const int32_t part = owner[route.expert[i]];
      if (part == kNobody) continue;
      AGORA_CHECK(part >= 0 && part < parts);
      append(route, t, i, result[part]);
    }
  }
  return result;
}

}  // namespace agora::moe
