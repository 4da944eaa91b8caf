// agora explain --swarm: what the gates of a server decided for a text, and which hosts ran the experts.
//
//   AGORA_RETURN_IF_ERROR(explain_swarm(place, "text", /*json=*/false, interrupt));
#pragma once

#include <string>

#include "apps/cli/command.h"
#include "apps/cli/swarm/swarm_place.h"

namespace agora::cli {

Status explain_swarm(const PlaceFlags& place, const std::string& text, bool json, const Interrupt& interrupt);

}  // namespace agora::cli
