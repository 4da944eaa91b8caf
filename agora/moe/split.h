// Splits a route by who holds the experts: each part goes to its owner, the owners' sums add up to the whole.
//
//   std::vector<RoutePart> parts = split(route, owner_of_expert, hosts);
//   for (const RoutePart& part : parts) send(rows part.token of x, part.route);
//
// A part lists each of its tokens once, however many of the owner's experts it chose (design section 2).
// Partial sums are added in the order of the parts. A value type; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "agora/moe/route.h"

namespace agora::moe {

struct RoutePart {
  Route route;                  // over the part's own rows; expert numbers stay those of the layer
  std::vector<int32_t> token;   // [rows] which token of the whole batch each row is, ascending
  std::vector<int32_t> choice;  // [choices] which choice of the whole route each is
};

constexpr int32_t kNobody = -1;

// owner[e] is the part that expert e belongs to, in [0, parts), or kNobody: then its choices are in no part
// and do not arrive. owner covers every expert of the route. O(T * parts + choices).
std::vector<RoutePart> split(const Route& route, std::span<const int32_t> owner, int64_t parts);

}  // namespace agora::moe
