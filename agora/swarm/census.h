// Which experts a swarm has now, as its hosts' records say.
//
//   const Census census = take_census(directory.records(), spec);
//   if (census.led.contains(name) && !census.retired.contains(name)) ...
//
// What a record claims beyond the specification's layers and experts is ignored, so a census has at most
// layers * experts_max names of each kind. Costs what decoding every host's record costs. Any thread
// (values).
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "agora/peers/directory/directory.h"
#include "agora/swarm/host/held_experts.h"
#include "agora/swarm/spec.h"

namespace agora::swarm {

struct Census {
  std::set<ExpertName> led;                // somebody leads it
  std::set<ExpertName> retired;            // for ever
  std::map<ExpertName, ExpertId> sources;  // of what was added lately as a copy
};

// What a specification has room for, without the rest of it.
struct ExpertRoom {
  int64_t layers = 0;
  int64_t experts_max = 0;  // of each
};
inline ExpertRoom room_of(const SwarmSpec& spec) { return {spec.layers, spec.experts_max}; }

// Behind the last expert of a record's range that there is room for; the range's first: there is for none.
template <class Range>
int32_t end_in(const ExpertRoom& room, const Range& range) {
  if (range.layer.value >= room.layers || range.first >= room.experts_max) return range.first;
  return static_cast<int32_t>(std::min(range.first + int64_t{range.count}, room.experts_max));
}

Census take_census(const std::vector<std::shared_ptr<const peers::Record>>& records, const SwarmSpec& spec);

}  // namespace agora::swarm
