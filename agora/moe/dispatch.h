// Brings the choices of a route to their experts: entries, grouped by expert, tokens ascending within each.
//
//   Dispatch d = dispatch(route, E);
//   for (int64_t e = 0; e < E; ++e) run(expert[e], d.token.data() + d.first[e], d.rows(e));
//
// An entry is one (token, expert) pair; entry numbers run through the experts in order. Only numbers move
// here: the kernels read the rows where they stand. A value type; any thread.
#pragma once

#include <cstdint>
#include <vector>

#include "agora/moe/route.h"

namespace agora::moe {

struct Dispatch {
  std::vector<int32_t> first;            // [E + 1] entries first[e] .. first[e + 1] - 1 are expert e's
  std::vector<int32_t> token;            // [entries]
  std::vector<float> weight;             // [entries]
  std::vector<int32_t> entry_of_choice;  // [choices] the inverse: where a choice of the route went

  int64_t rows(int64_t e) const { return first[e + 1] - first[e]; }
  int64_t entries() const { return static_cast<int64_t>(token.size()); }
};

// A counting sort, O(E + choices). Every expert of the route is below `experts`. Reuses the memory of
// `result`.
void dispatch(const Route& route, int64_t experts, Dispatch& result);

}  // namespace agora::moe
