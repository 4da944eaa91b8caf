// Calls to peers for commands that have nothing to do but wait: for the reply, or for Ctrl-C.
//
//   peers::Reply reply = call_and_wait(transport, {.at = endpoint, .method = swarm::kGetStatus, ...}, {});
//   std::vector<peers::Reply> replies = call_all(transport, settings, payload);      // at the same time
//
// Not on a thread of the transport or of a loop.
#pragma once

#include <functional>
#include <vector>

#include "agora/peers/transport/transport.h"

#include "apps/cli/command.h"

namespace agora::cli {

// A deadline so many seconds from now, in the transport's time (RealClock's).
int64_t deadline_in(double seconds);

struct CallWatch {
  const Interrupt* interrupt = nullptr;           // set: the call is cancelled, the reply says so
  std::function<void(peers::Payload)> part = {};  // on the caller's thread, in order
};

peers::Reply call_and_wait(peers::Transport& transport, const peers::CallSettings& settings,
                           peers::Payload payload, const CallWatch& watch = {});

// One reply for each of the settings, in their order.
std::vector<peers::Reply> call_all(peers::Transport& transport,
                                   const std::vector<peers::CallSettings>& settings,
                                   const peers::Payload& payload);

}  // namespace agora::cli
