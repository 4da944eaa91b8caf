// Asks the peers of a swarm, without being one of them: what the commands for people use.
//
//   AGORA_ASSIGN_OR_RETURN(auto client, SwarmClient::open(flags, interrupt));
//   AGORA_ASSIGN_OR_RETURN(std::vector<PeerStatus> all, client->everyone());
//   AGORA_ASSIGN_OR_RETURN(PeerEntry server, client->someone([](const PeerState& s) { return s.server; }));
//   peers::Reply reply = client->ask(server, swarm::kExplain, payload);
//
// Its identity is made anew each time and proves nothing but itself. Main's thread.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "agora/peers/transport/transport.h"

#include "apps/cli/swarm/blocking_call.h"
#include "apps/cli/swarm/swarm_place.h"
#include "apps/dashboard/peer_status.h"

namespace agora::cli {

class SwarmClient {
 public:
  // Calls nobody yet.
  static StatusOr<std::unique_ptr<SwarmClient>> open(const PlaceFlags& flags, const Interrupt& interrupt);
  ~SwarmClient();

  // Unavailable: nobody answers.
  StatusOr<dashboard::PeerStatus> status(const peers::Endpoint& at);
  StatusOr<dashboard::PeerStatus> anyone();
  // Those who answer, of all that anybody of them knows, by role and id. One question to each.
  StatusOr<std::vector<dashboard::PeerStatus>> everyone();
  // Those of everyone() for which `fits` is true. NotFound: there is none.
  StatusOr<std::vector<dashboard::PeerEntry>> all_that(
      const std::function<bool(const swarm::PeerState&)>& fits, const char* role);
  // The one of these that has the shortest queue.
  StatusOr<dashboard::PeerEntry> someone(const std::function<bool(const swarm::PeerState&)>& fits,
                                         const char* role);

  // Waits as long as the flags say, or for so many seconds.
  peers::Reply ask(const dashboard::PeerEntry& peer, peers::Method method, peers::Payload payload,
                   std::optional<double> seconds = {});

  const SwarmPlace& place() const { return place_; }
  peers::Transport& transport() { return *transport_; }
  double seconds() const { return seconds_; }

 private:
  SwarmClient(SwarmPlace place, double seconds, const Interrupt& interrupt);
  peers::CallSettings settings(const peers::Endpoint& at, peers::Method method) const;

  SwarmPlace place_;
  double seconds_;
  const Interrupt& interrupt_;
  std::unique_ptr<peers::Transport> transport_;
};

// NotFound, Unavailable and so on as a peer or the transport said, with the peer named.
Status failure(const peers::Reply& reply, const peers::Endpoint& at);

}  // namespace agora::cli
