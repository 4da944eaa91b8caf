// The plan a gate makes for a batch: for each token its experts and weights.
//
//   Route route;  gate.route(x, route);
//   for (int32_t i = route.first[t]; i < route.first[t + 1]; ++i) use(route.expert[i], route.weight[i]);
//
// A token's choices stand in ascending order of expert number; sums over a token's experts are made in that
// order everywhere, which is what makes an answer independent of how the rows are grouped. A value type; any
// thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "agora/base/result.h"

namespace agora::moe {

struct Route {
  // CSR: token t owns choices first[t] .. first[t + 1] - 1. first has T + 1 numbers; a token may have no
  // choice at all.
  std::vector<int32_t> first;
  std::vector<int32_t> expert;
  std::vector<float> weight;
  // True where the gate normalises a token's weights to a fixed sum: then missing summands may be made good
  // by rescaling with (sum of all weights / sum of arrived weights), see design section 2.
  bool normalised = false;
  // [T] each token's best expert of those it did not choose, who may stand in for one that is lost; -1: none.
  // Empty unless the gate was asked for it.
  std::vector<int32_t> runner_up = {};

  std::span<const int32_t> experts_of(int64_t t) const {
    return std::span(expert).subspan(first[t], first[t + 1] - first[t]);
  }
  std::span<int32_t> experts_of(int64_t t) {
    return std::span(expert).subspan(first[t], first[t + 1] - first[t]);
  }
  int64_t tokens() const { return first.empty() ? 0 : static_cast<int64_t>(first.size()) - 1; }
  int64_t choices() const { return static_cast<int64_t>(expert.size()); }
};

// How many tokens each of `experts` experts got. Choices numbered `experts` and above (zero, copy, constant)
// do not count.
std::vector<int64_t> expert_loads(const Route& route, int64_t experts);

// InvalidArgument unless the route is one of `tokens` tokens over `experts` experts: lengths agree, a token's
// experts ascend without repetition, every weight is finite. The message names the token.
Status validate(const Route& route, int64_t tokens, int64_t experts);

}  // namespace agora::moe
