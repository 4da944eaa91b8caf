// The swarm's specification between peers: whoever has it hands it out, and its hash is the swarm's name.
//
//   serve_spec(transport, spec);
//   AGORA_ASSIGN_OR_RETURN(SwarmSpec spec, fetch_spec(transport, {endpoint, ...}, 30, interrupt));
//
// 1 + ceil(bytes / kBlobChunkBytes) round trips. fetch_spec() waits: not on the transport's threads or the
// loop.
#pragma once

#include <vector>

#include "agora/peers/transport/transport.h"
#include "agora/swarm/spec.h"

#include "apps/cli/command.h"

namespace agora::cli {

void serve_spec(peers::Transport& transport, const swarm::SwarmSpec& spec);

// From the first of the peers that answers; looks again until the seconds are over, because a peer that is
// named by --join may be starting too. Unavailable: none did; Cancelled: Ctrl-C.
StatusOr<swarm::SwarmSpec> fetch_spec(peers::Transport& transport, const std::vector<peers::Endpoint>& from,
                                      double seconds, const Interrupt& interrupt);

}  // namespace agora::cli
