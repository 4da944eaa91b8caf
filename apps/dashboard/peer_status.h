// What a peer tells people of itself and of those it knows: the answer to kGetStatus, and /status.
//
//   call->reply(OkStatus(), Payload::copy(as_bytes(status_text(status))));
//   AGORA_ASSIGN_OR_RETURN(PeerStatus s, read_status(as_text(reply.payload.bytes())));
//
// JSON, because other people's tools read it too. A value type; any thread.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agora/base/result.h"
#include "agora/peers/endpoint.h"
#include "agora/peers/peer_id.h"
#include "agora/swarm/peer_state.h"
#include <nlohmann/json_fwd.hpp>

namespace agora::dashboard {

// What kGetStatus may be asked for, as its payload: the peer alone, without those it knows.
constexpr std::string_view kSelfOnly = "self";

constexpr int64_t kStatusBytesMax = 16 << 20;
constexpr size_t kPeersListedMax = 4096;  // of those a peer knows
constexpr size_t kMetricsListedMax = 1024;
constexpr int64_t kExpertsHeldMax = 1 << 16;  // of the peer itself

struct PeerEntry {
  peers::PeerId peer;
  peers::Endpoint at;
  swarm::PeerState state;
};

struct PeerStatus {
  PeerEntry self;
  std::string swarm;     // its name
  std::string swarm_id;  // 64 hexadecimal digits
  int64_t pid = 0;
  double uptime_s = 0;
  std::map<std::string, double> metrics;  // by the names in docs/metrics.md
  std::vector<PeerEntry> known;           // without itself

  double metric(const std::string& name) const;  // 0: it does not say
};

nlohmann::ordered_json status_json(const PeerStatus& status);
std::string status_text(const PeerStatus& status);  // what is no UTF-8 in it is replaced
nlohmann::ordered_json entry_json(const PeerEntry& entry);

// InvalidArgument naming the key. What a peer holds is as decode_peer_state() gives it: ranges that ascend,
// of numbers below swarm::kExpertNumberMax.
StatusOr<PeerStatus> read_status(std::string_view json);

// Calls that a peer received or made; of those that it made, the ones that came to nothing.
double calls_of(const PeerStatus& status);
double failures_of(const PeerStatus& status);

struct ExpertCounts {
  int64_t led = 0;
  int64_t held = 0;  // with those that it leads
};
ExpertCounts count_experts(const swarm::PeerState& state);

// "host", "trainer", "server", with + between; "peer" where it is none.
std::string roles_text(const swarm::PeerState& state);

}  // namespace agora::dashboard
