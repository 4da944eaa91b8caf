#include "apps/cli/swarm/swarm_client.h"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "agora/base/text.h"
#include "agora/peers/identity/identity.h"
#include "agora/peers/transport/grpc/grpc_transport.h"
#include "agora/swarm/wire/method.h"

namespace agora::cli {
namespace {

constexpr size_t kPeersAskedMax = 4096;
constexpr double kOneOfManySeconds = 2;  // nobody waits longer for one of many that is silent

auto order(const dashboard::PeerStatus& status) {
  const swarm::PeerState& s = status.self.state;
  return std::tuple(!s.host, !s.trainer, !s.server, status.self.peer);
}

// Not there, or not now: another peer may be asked.
bool may_live(const Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

}  // namespace

SwarmClient::SwarmClient(SwarmPlace place, double seconds, const Interrupt& interrupt)
    : place_(std::move(place)), seconds_(seconds), interrupt_(interrupt) {}

SwarmClient::~SwarmClient() {
  if (transport_ != nullptr) transport_->stop();
}

StatusOr<std::unique_ptr<SwarmClient>> SwarmClient::open(const PlaceFlags& flags,
                                                         const Interrupt& interrupt) {
  AGORA_ASSIGN_OR_RETURN(SwarmPlace place, find_place(flags));
  peers::GrpcTransportConfig config;
  config.listen = {"127.0.0.1", 0};  // nobody is told of it
  AGORA_ASSIGN_OR_RETURN(config.swarm_key, swarm_key_in(place.swarm_key_file));
  std::unique_ptr<SwarmClient> client(new SwarmClient(std::move(place), flags.seconds, interrupt));
  AGORA_ASSIGN_OR_RETURN(client->transport_,
                         peers::GrpcTransport::start(peers::Identity::generate(), config));
  return client;
}

peers::CallSettings SwarmClient::settings(const peers::Endpoint& at, peers::Method method) const {
  return {.to = {},
          .at = at,
          .method = method,
          .priority = peers::Priority::interactive,
          .deadline_ns = deadline_in(seconds_),
          .trace = 0};
}

StatusOr<dashboard::PeerStatus> SwarmClient::status(const peers::Endpoint& at) {
  const peers::Reply reply =
      call_and_wait(*transport_, settings(at, swarm::kGetStatus), {}, {.interrupt = &interrupt_});
  if (!reply.status.ok()) return failure(reply, at);
  return dashboard::read_status(base::as_text(reply.payload.bytes()));
}

StatusOr<dashboard::PeerStatus> SwarmClient::anyone() {
  Status first = absl::NotFoundError("the swarm has no peers yet");
  for (const PlacedPeer& peer : place_.peers) {
    StatusOr<dashboard::PeerStatus> status = this->status(peer.at);
    if (status.ok() || interrupt_.load()) return status;
    if (!may_live(status.status())) return status;
    if (&peer == &place_.peers.front()) first = status.status();
  }
  const std::string told = place_.dir.empty() ? "--join" : place_.dir;
  return absl::NotFoundError(
      absl::StrCat(told, ": expected a living peer, nobody of ", place_.peers.size(), " answers (",
                   std::string(first.message()),
                   "); start a swarm with `agora up`, or name a living peer by --join HOST:PORT"));
}

StatusOr<std::vector<dashboard::PeerStatus>> SwarmClient::everyone() {
  AGORA_ASSIGN_OR_RETURN(const dashboard::PeerStatus first, anyone());
  std::map<peers::PeerId, std::optional<dashboard::PeerStatus>> seen{{first.self.peer, first}};
  std::vector<dashboard::PeerEntry> open = first.known;
  // What the first one knows is everybody, but for those who came a moment ago: one more round finds these.
  for (int round = 0; round < 2 && !open.empty(); ++round) {
    std::vector<peers::CallSettings> calls;
    for (const dashboard::PeerEntry& entry : open) {
      if (seen.size() >= kPeersAskedMax || !seen.try_emplace(entry.peer).second) continue;
      calls.push_back(settings(entry.at, swarm::kGetStatus));
      calls.back().to = entry.peer;
      calls.back().deadline_ns = deadline_in(std::min(seconds_, kOneOfManySeconds));
    }
    open.clear();
    for (const peers::Reply& reply : call_all(*transport_, calls, {})) {
      if (!reply.status.ok()) continue;
      StatusOr<dashboard::PeerStatus> status = dashboard::read_status(base::as_text(reply.payload.bytes()));
      if (!status.ok()) continue;
      open.insert(open.end(), status->known.begin(), status->known.end());
      seen[reply.from] = *std::move(status);
    }
  }
  std::vector<dashboard::PeerStatus> all;
  for (auto& [peer, status] : seen) {
    if (status) all.push_back(*std::move(status));
  }
  std::ranges::sort(all, {}, order);
  return all;
}

StatusOr<std::vector<dashboard::PeerEntry>> SwarmClient::all_that(
    const std::function<bool(const swarm::PeerState&)>& fits, const char* role) {
  AGORA_ASSIGN_OR_RETURN(const std::vector<dashboard::PeerStatus> all, everyone());
  std::vector<dashboard::PeerEntry> those;
  for (const dashboard::PeerStatus& status : all) {
    if (fits(status.self.state)) those.push_back(status.self);
  }
  if (!those.empty()) return those;
  return absl::NotFoundError(absl::StrCat("expected a ", role, " in the swarm: none of ", all.size(),
                                          " peers is one; start one with agora ", role, " --join ",
                                          all.front().self.at.text()));
}

StatusOr<dashboard::PeerEntry> SwarmClient::someone(const std::function<bool(const swarm::PeerState&)>& fits,
                                                    const char* role) {
  AGORA_ASSIGN_OR_RETURN(const std::vector<dashboard::PeerEntry> those, all_that(fits, role));
  return *std::ranges::min_element(those, {},
                                   [](const dashboard::PeerEntry& peer) { return peer.state.load_us; });
}

peers::Reply SwarmClient::ask(const dashboard::PeerEntry& peer, peers::Method method, peers::Payload payload,
                              std::optional<double> seconds) {
  peers::CallSettings call = settings(peer.at, method);
  call.to = peer.peer;
  if (seconds) call.deadline_ns = deadline_in(*seconds);
  return call_and_wait(*transport_, call, std::move(payload), {.interrupt = &interrupt_});
}

Status failure(const peers::Reply& reply, const peers::Endpoint& at) {
  return base::about(at.text(), reply.status);
}

}  // namespace agora::cli
