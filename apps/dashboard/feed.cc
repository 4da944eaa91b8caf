#include "apps/dashboard/feed.h"

#include <map>
#include <optional>
#include <utility>

#include "agora/base/bytes.h"
#include "agora/swarm/wire/method.h"
#include <nlohmann/json.hpp>

namespace agora::dashboard {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;

// What only the peer itself knows, in the page's words.
Json numbers_json(const PeerStatus& status) {
  const auto metric = [&](const char* name) { return status.metric(name); };
  return {{"uptime_s", status.uptime_s},
          {"calls", calls_of(status)},
          {"calls_sent", metric("agora_calls_sent_total")},
          {"failures", failures_of(status)},
          {"hedges", metric("agora_mix_by_hedge_total")},
          {"by_replica", metric("agora_mix_by_replica_total")},
          {"by_next_expert", metric("agora_mix_by_next_expert_total")},
          {"lost", metric("agora_mix_lost_total")},
          {"gate_mass", metric("agora_gate_mass_total")},
          {"gate_mass_lost", metric("agora_gate_mass_lost_total")},
          {"updates_refused", metric("agora_updates_refused_total")},
          {"experts_lost", metric("agora_experts_lost_total")},
          {"answered", metric("agora_answered_total")},
          {"answers_failed", metric("agora_answers_failed_total")}};
}

}  // namespace

// What peers said of themselves when they were asked.
struct Feed::Answers {
  struct Answer {
    bool under_way = false;
    bool silent = false;  // the last question was not answered
    std::optional<Json> numbers;
  };
  base::Mutex mutex;
  std::map<peers::PeerId, Answer> of ABSL_GUARDED_BY(mutex);

  void take(const peers::PeerId& peer, const peers::Reply& reply) {
    const StatusOr<PeerStatus> said = reply.status.ok() ? read_status(base::as_text(reply.payload.bytes()))
                                                        : StatusOr<PeerStatus>(reply.status);
    const base::MutexLock lock(mutex);
    const auto found = of.find(peer);
    if (found == of.end()) return;  // it has left the directory meanwhile
    found->second.under_way = false;
    found->second.silent = !said.ok();
    if (said.ok()) found->second.numbers = numbers_json(*said);
  }
};

Feed::Feed(peers::Transport& transport, const Clock& clock)
    : transport_(transport),
      clock_(clock),
      answers_(std::make_shared<Answers>()),
      looked_ns_(clock.now_ns() - kLookedNs),
      asked_ns_(clock.now_ns() - kAskEveryNs) {}

Feed::~Feed() = default;

void Feed::note(PeerStatus status) {
  const int64_t now_ns = clock_.now_ns();
  {
    const base::MutexLock lock(mutex_);
    chronicle_.note(status, status.uptime_s);
    status_ = status;
    if (now_ns - looked_ns_ >= kLookedNs || now_ns - asked_ns_ < kAskEveryNs) return;
    asked_ns_ = now_ns;
  }
  ask(status, now_ns);
}

void Feed::ask(const PeerStatus& status, int64_t now_ns) {
  std::vector<const PeerEntry*> asked;
  {
    const base::MutexLock lock(answers_->mutex);
    std::map<peers::PeerId, Answers::Answer> kept;  // of those who are still there
    for (const PeerEntry& entry : status.known) {
      if (kept.size() == kAskedMax) break;
      const auto before = answers_->of.find(entry.peer);
      Answers::Answer& answer = kept[entry.peer];
      if (before != answers_->of.end()) answer = std::move(before->second);
      if (!std::exchange(answer.under_way, true)) asked.push_back(&entry);
    }
    answers_->of = std::move(kept);
  }
  for (const PeerEntry* entry : asked) {
    const peers::CallSettings settings{.to = entry->peer,
                                       .at = entry->at,
                                       .method = swarm::kGetStatus,
                                       .priority = peers::Priority::background,
                                       .deadline_ns = now_ns + kAnswerNs,
                                       .trace = 0};
    transport_.call(
        settings, peers::Payload::copy(base::as_bytes(kSelfOnly)),
        [answers = answers_, peer = entry->peer](const peers::Reply& reply) { answers->take(peer, reply); });
  }
}

// What a peer said when it was asked, beside its record.
Json Feed::peer_json(const PeerEntry& entry) {
  Json peer = entry_json(entry);
  const base::MutexLock lock(answers_->mutex);
  const auto answer = answers_->of.find(entry.peer);
  if (answer == answers_->of.end()) return peer;
  peer["silent"] = answer->second.silent;
  if (answer->second.numbers) peer["numbers"] = *answer->second.numbers;
  return peer;
}

std::string Feed::json() {
  PeerStatus status;
  Json feed{{"version", kVersion}};
  {
    const base::MutexLock lock(mutex_);
    looked_ns_ = clock_.now_ns();
    status = status_;
    feed["history"] = chronicle_.history_json();
    feed["events"] = chronicle_.events_json();
  }
  feed["swarm"] = status.swarm;
  feed["swarm_id"] = status.swarm_id;
  feed["seen_by"] = status.self.peer.text();
  feed["uptime_s"] = status.uptime_s;
  Json& peers = feed["peers"] = Json::array({entry_json(status.self)});
  peers[0]["numbers"] = numbers_json(status);
  for (const PeerEntry& entry : status.known) {
    if (peers.size() > kPeersListedMax) break;
    peers.push_back(peer_json(entry));
  }
  return feed.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace agora::dashboard
