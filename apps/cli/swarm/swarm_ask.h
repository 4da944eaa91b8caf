// agora ask --swarm: a question to whatever server of a swarm has time, its answer as it comes.
//
//   AGORA_RETURN_IF_ERROR(ask_swarm(place, request, /*json=*/false, interrupt));
//
// A server that goes in the middle is no end: another one goes on from the tokens that have come, and the
// answer is the same.
#pragma once

#include "agora/serve/ask_wire.h"

#include "apps/cli/command.h"
#include "apps/cli/swarm/swarm_place.h"

namespace agora::cli {

Status ask_swarm(const PlaceFlags& place, const serve::AskRequest& request, bool json,
                 const Interrupt& interrupt);

}  // namespace agora::cli
