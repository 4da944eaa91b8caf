// Asks the servers of a swarm: the answer comes as one, however many servers fail in the middle of it.
//
//   const auto servers = [&] { return servers_of(directory.records()); };
//   AGORA_ASSIGN_OR_RETURN(SwarmAnswer answer, ask_swarm({transport, clock, servers}, request, settings,
//                                                        [](std::string_view text) { std::cout << text; }));
//
// Draws depend on the seed and a token's place alone: as long as trunk and experts are the same, so is the
// text, whoever gave which part of it. Waits: not on a thread of the transport or of a loop.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agora/base/clock.h"
#include "agora/base/loop.h"
#include "agora/peers/directory/record.h"
#include "agora/peers/transport/transport.h"
#include "agora/serve/ask_wire.h"

namespace agora::serve {

struct ServerAt {
  peers::PeerId peer;  // empty: whoever is at the endpoint
  peers::Endpoint at;
  uint32_t load_us = 0;
};

// Those that say they are servers, the shortest queue first.
std::vector<ServerAt> servers_of(const std::vector<std::shared_ptr<const peers::Record>>& records);

struct Servers {
  peers::Transport& transport;
  const Clock& clock;                            // the transport's
  std::function<std::vector<ServerAt>()> known;  // best first; asked before each call
};

struct AskSettings {
  int64_t timeout_ns = 600 * base::kSecondNs;       // of the whole answer
  int64_t no_server_ns = 10 * base::kSecondNs;      // while nobody says that it is one
  int64_t first_silence_ns = 60 * base::kSecondNs;  // until the first token: queue and prompt
  int64_t silence_ns = 10 * base::kSecondNs;        // between two; then another server is asked
  int64_t pause_ns = 500 * base::kMillisecondNs;    // before servers that failed are asked again
  uint64_t trace = 0;
  std::function<bool()> interrupted = [] { return false; };  // looked at 20 times a second
};

struct SwarmAnswer {
  AskSummary summary;   // of the server that ended it; answer_tokens and duration of the whole
  int64_t servers = 0;  // that were asked
};

// Errors: InvalidArgument (the question), Cancelled (interrupted), DeadlineExceeded, Unavailable (no server
// was known for no_server_ns), or what the last server failed with, once ContinuedAnswer::kFailuresMax have
// failed without a token.
StatusOr<SwarmAnswer> ask_swarm(const Servers& servers, AskRequest request, const AskSettings& settings,
                                const std::function<void(std::string_view)>& show);

}  // namespace agora::serve
