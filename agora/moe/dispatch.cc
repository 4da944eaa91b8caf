#include "agora/moe/dispatch.h"

#include "agora/base/check.h"

namespace agora::moe {

void dispatch(const Route& route, int64_t experts, Dispatch& result) {
  result.first.assign(static_cast<size_t>(experts) + 1, 0);
  for (const int32_t expert : route.expert) {
    AGORA_CHECK_LT(expert, experts);
    ++result.first[expert + 1];
  }
  for (int64_t e = 0; e < experts; ++e) result.first[e + 1] += result.first[e];

  const auto choices = static_cast<size_t>(route.choices());
  result.token.resize(choices);
  result.weight.resize(choices);
  result.entry_of_choice.resize(choices);
  std::vector<int32_t> next(result.first.begin(), result.first.end() - 1);
  for (int64_t t = 0; t < route.tokens(); ++t) {
    for (int32_t i = route.first[t]; i < route.first[t + 1]; ++i) {
      const int32_t entry = next[route.expert[i]]++;
      result.token[entry] = static_cast<int32_t>(t);
      result.weight[entry] = route.weight[i];
      result.entry_of_choice[i] = entry;
    }
  }
}

}  // namespace agora::moe
