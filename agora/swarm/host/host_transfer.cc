// Snapshots there and back, leaders that do not answer.
#include <algorithm>
#include <tuple>
#include <utility>

#include "agora/base/text.h"
#include "agora/swarm/host/host_state.h"
#include "agora/swarm/host/snapshot.h"
#include "agora/swarm/wire/method.h"

namespace agora::swarm {
namespace {

// Of a probe: within these, several times the leader's slow answers.
constexpr int64_t kProbeNsMin = 500'000'000;
constexpr int64_t kProbeNsMax = 2'000'000'000;
constexpr int64_t kProbeNsUnknown = 1'000'000'000;  // fewer than kProbesKnown answers so far
constexpr uint32_t kProbesKnown = 8;
constexpr int64_t kProbePatience = 4;  // times a slow answer
constexpr int64_t kPullSlowNs = 60'000'000'000;
constexpr int64_t kProbeAgainNs = 100'000'000;
constexpr int64_t kProbeLateNs = 250'000'000;  // an end seen so late after its time: we did not look
// A chunk is waited for so long, and then the next is asked for, if ever.
constexpr int64_t kCopyNsMax = 2 * kBlobChunkNsMax;
constexpr int kCopiesShare = 4;   // one peer has at most this part of them
constexpr size_t kPullsMax = 64;  // at once, with those from hosts that seem to have gone

void serve(peers::IncomingCall& call, const Blob& blob) {
  serve_blob(call, [&blob](std::string_view) -> StatusOr<Blob> { return blob; });
}

}  // namespace

// ---- serving

void Host::State::serve_snapshots(const std::shared_ptr<peers::IncomingCall>& call) {
  const StatusOr<BlobRequest> request = read_blob_request(call->payload().bytes());
  if (!request.ok()) return call->reply(request.status());
  if (request->key == kHeadsKey) {
    return serve_blob(*call, [this](std::string_view) -> StatusOr<Blob> { return blob_of(heads()); });
  }
  const StatusOr<SnapshotKey> key = read_snapshot_key(request->key);
  if (!key.ok()) return call->reply(key.status());
  const Status may = may_have(call->from(), *key);
  if (!may.ok()) return call->reply(may);
  if (request->offset > 0) return serve_later_chunk(call, *key, *request);
  if (!key->last && follows(call->from()) && hand_overs_first()) {
    return call->reply(absl::ResourceExhaustedError("this host hands over now; ask again in a moment"));
  }
  const Status room = room_for_copy(call->from(), *key);
  if (!room.ok()) return call->reply(room);
  // After the last one nothing may change. Not before it: a successor that has died does not come for it.
  in_executor(
      [this, key = *key]() -> StatusOr<Blob> {
        if (key.last && !held.freeze(key.expert, true)) {
          return absl::UnavailableError("a synchronous step is under way; ask again when it has ended");
        }
        AGORA_ASSIGN_OR_RETURN(std::vector<std::byte> bytes, held.snapshot(key.expert));
        return blob_of(peers::Payload::own(std::move(bytes)));
      },
      [call, key = *key](State& self, const StatusOr<Blob>& blob) {
        if (!blob.ok()) return call->reply(blob.status());
        const Status still_may = self.may_have(call->from(), key);  // a hand-over may have been withdrawn
        if (!still_may.ok()) return call->reply(still_may);
        self.sent_chunk(call->from(), key, blob->bytes.size() <= kBlobChunkBytes);
        if (blob->bytes.size() > kBlobChunkBytes) {
          const Status still = self.room_for_copy(call->from(), key);
          if (!still.ok()) return call->reply(still);
          self.keep_copy({call->from(), key.expert, *blob, self.loop.now_ns(), self.loop.now_ns()});
        }
        serve(*call, *blob);
      });
}

// Of the snapshot that the first was of, which is kept until the last.
void Host::State::serve_later_chunk(const std::shared_ptr<peers::IncomingCall>& call, const SnapshotKey& key,
                                    const BlobRequest& request) {
  const auto copy =
      std::ranges::find_if(copies, [&](const Copy& kept) { return kept.is_for(call->from(), key.expert); });
  if (copy == copies.end()) {
    return call->reply(absl::UnavailableError("the snapshot is not kept any more; fetch it from its begin"));
  }
  serve(*call, copy->blob);
  copy->asked_ns = loop.now_ns();
  const uint64_t end = request.offset + std::min(request.bytes_max, kBlobChunkBytes);
  const bool ends = end >= copy->blob.bytes.size();
  sent_chunk(call->from(), key, ends);
  if (ends) copies.erase(copy);
}

void Host::State::sent_chunk(const peers::PeerId& to, const SnapshotKey& key, bool ends) {
  HandOver* const running = key.last ? hand_over_to(to, key.expert) : nullptr;
  if (running == nullptr) return;
  running->asked_ns = loop.now_ns();
  if (leaving) hand_overs_turn_ns = loop.now_ns();
  running->frozen = true;
  running->sent = ends;
}

// In the place of the peer's own earlier one, if there is one. A hand-over does not wait for others.
Status Host::State::room_for_copy(const peers::PeerId& peer, const SnapshotKey& key) const {
  int32_t count = 0, its_count = 0;
  size_t bytes = 0, its_bytes = 0;
  for (const Copy& copy : copies) {
    if (copy.is_for(peer, key.expert)) continue;
    ++count;
    bytes += copy.blob.bytes.size();
    if (copy.peer != peer) continue;
    ++its_count;
    its_bytes += copy.blob.bytes.size();
  }
  const bool room = count < options.copies_max && bytes < options.copies_bytes_max;
  const bool its_share = its_count == 0 || (its_count < options.copies_max / kCopiesShare &&
                                            its_bytes < options.copies_bytes_max / kCopiesShare);
  if (key.last || (room && its_share)) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      "as many snapshots are being fetched from this host as it keeps; ask again in a moment");
}

void Host::State::keep_copy(Copy copy) {
  std::erase_if(copies, [&](const Copy& old) { return old.is_for(copy.peer, copy.name); });
  copies.push_back(std::move(copy));
}

// Of those who have gone, or have pulled from another, or only ask so that they are kept.
void Host::State::forget_copies() {
  const int64_t now_ns = loop.now_ns();
  std::erase_if(copies, [&](const Copy& copy) {
    return now_ns - copy.asked_ns > kCopyNsMax ||
           now_ns - copy.begun_ns > blob_ns_max(copy.blob.bytes.size());
  });
}

Status Host::State::may_have(const peers::PeerId& peer, const SnapshotKey& key) {
  const auto found = own.find(key.expert);
  if (found == own.end() || !found->second.ready) {
    return absl::NotFoundError("this host does not hold the expert; ask another");
  }
  if (key.last && hand_over_to(peer, key.expert) == nullptr) {
    return absl::FailedPreconditionError(
        "expected the host that the expert is handed over to; go on following");
  }
  return absl::OkStatus();
}

peers::Payload Host::State::heads() const {
  std::vector<ReplicaHead> list;
  for (const auto& [name, mine] : own) {
    if (mine.ready) list.push_back({name, mine.role == Role::leader, mine.epoch, mine.version});
  }
  return encode_heads(list);
}

// ---- following

// Leaders that are followed, who was told to lead, and who is pulled from: whether they live.
void Host::State::probe() {
  std::set<peers::PeerId> peers;
  for (const auto& [name, mine] : own) {
    if (mine.role == Role::leader || !mine.ready) continue;
    if (const Holder* leader = holders.leader_of(name)) peers.insert(leader->peer);
    if (const peers::PeerId* heir = leadership.awaited(name, loop.now_ns())) peers.insert(*heir);
  }
  for (const auto& [number, pull] : pulls_under_way) peers.insert(pull.from);
  std::erase_if(watched, [&](const auto& peer) { return !peers.contains(peer.first); });
  for (const peers::PeerId& peer : peers) {
    if (!watched[peer].asked) ask_heads(peer);
  }
}

int64_t Host::State::probe_patience_ns(const peers::PeerId& peer) const {
  const peers::LatencyQuantile& latency = watched.at(peer).latency;
  if (latency.count() < kProbesKnown) return kProbeNsUnknown;
  return std::clamp(kProbePatience * latency.quantile_ns(0.99), kProbeNsMin, kProbeNsMax);
}

void Host::State::ask_heads(const peers::PeerId& peer) {
  const OtherHost* host = holders.host(peer);
  const auto leader = watched.find(peer);
  if (host == nullptr || leader == watched.end()) return;
  leader->second.asked = true;
  const int64_t now_ns = loop.now_ns();
  const peers::CallSettings settings{.to = peer,
                                     .at = host->endpoint,
                                     .method = kGetSnapshot,
                                     .priority = peers::Priority::interactive,  // a glance, not a transfer
                                     .deadline_ns = now_ns + probe_patience_ns(peer)};
  fetch_blob(
      transport, loop, settings, std::string(kHeadsKey), kHeadsBytesMax,
      back<StatusOr<peers::Payload>>([peer, now_ns](State& self, const StatusOr<peers::Payload>& answer) {
        self.probed(peer, now_ns, answer);
      }));
}

void Host::State::not_answered(const peers::PeerId& peer, int64_t late_ns) {
  const auto leader = watched.find(peer);
  if (late_ns < kProbeLateNs && ++leader->second.failures >= options.probe_failures_max) return give_up(peer);
  after(kProbeAgainNs, [peer](State& self) {
    const auto asked = self.watched.find(peer);
    if (asked != self.watched.end() && !asked->second.asked) self.ask_heads(peer);
  });
}

void Host::State::probed(const peers::PeerId& peer, int64_t asked_ns,
                         const StatusOr<peers::Payload>& answer) {
  const auto leader = watched.find(peer);
  if (leader == watched.end()) return;  // nobody we follow any more
  leader->second.asked = false;
  const int64_t took_ns = loop.now_ns() - asked_ns;
  if (absl::IsUnavailable(answer.status()) || absl::IsDeadlineExceeded(answer.status())) {
    return not_answered(peer, took_ns - probe_patience_ns(peer));
  }
  leader->second.failures = 0;
  leader->second.latency.add(took_ns);
  if (!answer.ok()) return trouble(answer.status());
  StatusOr<std::vector<ReplicaHead>> heads = read_heads(answer->bytes());
  if (!heads.ok()) return trouble(heads.status());
  // A leader gives a few at a time: what has waited longest comes first.
  std::ranges::stable_sort(*heads, {}, [this](const ReplicaHead& head) {
    const auto mine = own.find(head.name);
    return mine == own.end() ? 0 : mine->second.pulled_ns;
  });
  for (const ReplicaHead& head : *heads) {
    const auto found = own.find(head.name);
    if (!head.leads || found == own.end()) continue;
    const Own& mine = found->second;
    if (head.epoch < mine.epoch) continue;  // another has led since: what this one has is old
    const bool differs = std::tie(head.epoch, head.version) != std::tie(mine.epoch, mine.version);
    const bool soon = mine.pulled_ns != 0 && loop.now_ns() - mine.pulled_ns < between_pulls_ns();
    if (mine.role == Role::follower && mine.ready && differs && !soon && !pulling(mine) &&
        !pull_waits(head.name)) {
      pull({head.name, peer, [](const Status&) {}});
    }
  }
}

// As if its record had expired; a fresher record brings it back.
void Host::State::give_up(const peers::PeerId& peer) {
  watched.erase(peer);
  ++counts.peers_given_up;
  lose(peer);
}

// What is pulled from it would keep other pulls waiting until its deadline. It is not ended: a host that only
// seems to have gone may be sending all it can.
void Host::State::lose(const peers::PeerId& peer) {
  on_changed(holders.remove(peer));
  for (auto& [number, pull] : pulls_under_way) {
    if (pull.from == peer) pull.lost = true;
  }
  start_pulls();
}

// Updates wait for a hand-over.
void Host::State::pull(Pull wanted) {
  pulls.insert(wanted.to_lead ? pulls.begin() : pulls.end(), std::move(wanted));
  start_pulls();
}

bool Host::State::pulling(const Own& mine) const {
  const auto last = pulls_under_way.find(mine.last_pull);
  return last != pulls_under_way.end() && !last->second.lost;
}

bool Host::State::pull_waits(ExpertName name) const {
  return std::ranges::any_of(pulls, [&](const Pull& pull) { return pull.name == name; });
}

// The first that waits for nothing else; an expert is pulled by one at a time.
void Host::State::start_pulls() {
  // One that takes long keeps its way, and no others from beginning.
  const auto lives = [this](const auto& pull) {
    const auto mine = own.find(pull.second.name);
    const bool slow = mine != own.end() && mine->second.last_pull == pull.first &&
                      loop.now_ns() - mine->second.pulled_ns > kPullSlowNs;
    return !pull.second.lost && !slow;
  };
  while (pulls_under_way.size() < kPullsMax &&
         static_cast<size_t>(std::ranges::count_if(pulls_under_way, lives)) < options.pulls_max) {
    const auto next = std::find_if(pulls.begin(), pulls.end(), [&](const Pull& pull) {
      const auto mine = own.find(pull.name);
      return mine == own.end() || !pulling(mine->second);
    });
    if (next == pulls.end()) return;
    Pull pull = std::move(*next);
    pulls.erase(next);
    const auto mine = own.find(pull.name);
    const OtherHost* host = holders.host(pull.from);
    if (mine == own.end() || host == nullptr) {
      pull.done(absl::UnavailableError("the expert, or the host that has it, has gone"));
      continue;
    }
    if (pull.to_lead && is_over(*pull.to_lead)) {
      pull.done(absl::DeadlineExceededError("the hand-over was over before its pull's turn came"));
      continue;
    }
    mine->second.pulled_ns = loop.now_ns();
    const uint64_t number = mine->second.last_pull = ++pulls_begun;
    const peers::PeerId from = pull.from;
    const std::string key = pull.to_lead ? last_snapshot_key(pull.name) : snapshot_key(pull.name);
    pulls_under_way.emplace(number, std::move(pull));
    fetch_snapshot(from, host->endpoint, key,
                   back<StatusOr<peers::Payload>>([number](State& self, StatusOr<peers::Payload> bytes) {
                     self.pulled(number, std::move(bytes));
                   }));
  }
}

void Host::State::fetch_snapshot(const peers::PeerId& from, const peers::Endpoint& at, const std::string& key,
                                 std::function<void(StatusOr<peers::Payload>)> done) {
  const auto bytes_max = static_cast<uint64_t>(snapshot_bytes_max(spec.shape));
  const peers::CallSettings settings{.to = from,
                                     .at = at,
                                     .method = kGetSnapshot,
                                     .priority = peers::Priority::background,
                                     .deadline_ns = loop.now_ns() + blob_ns_max(bytes_max)};
  fetch_blob(transport, loop, settings, key, bytes_max, std::move(done));
}

void Host::State::pulled(uint64_t number, StatusOr<peers::Payload> bytes) {
  const Pull pull = std::move(pulls_under_way.extract(number).mapped());
  const auto found = own.find(pull.name);
  const bool last = found != own.end() && found->second.last_pull == number;
  const Done done = [this, pull](const Status& status) {
    ++(status.ok() ? counts.pulls : counts.pulls_failed);
    trouble(status);
    pull.done(status);
  };
  if (last && absl::IsResourceExhausted(bytes.status())) found->second.pulled_ns = 0;  // it has waited
  if (bytes.ok() && pull.lost && !last) bytes = absl::UnavailableError("another has sent the expert since");
  if (bytes.ok()) {
    counts.bytes_pulled += bytes->size();
    restore(pull.name, *bytes, done);
  } else {
    done(bytes.status());
  }
  start_pulls();
}

}  // namespace agora::swarm
