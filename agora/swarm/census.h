// Which experts a swarm has now, as its hosts' records say.
//
//   const Census census = take_census(directory.records(), spec);
//   if (census.led.contains(name) && !census.retired.contains(name)) ...
//
// What a record claims beyond the specification's layers and experts is ignored, so a census has at most
// layers * experts_max names of each kind. Costs what decoding every host's record costs. Any thread
// (values).
#pragma once

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

Census take_census(const std::vector<std::shared_ptr<const peers::Record>>& records, const SwarmSpec& spec);

}  // namespace agora::swarm
