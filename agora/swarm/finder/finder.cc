#include "agora/swarm/finder/finder.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_format.h"
#include "agora/base/mutex.h"
#include "agora/peers/health/health.h"
#include "agora/swarm/census.h"
#include "agora/swarm/peer_state.h"

namespace agora::swarm {
namespace {

constexpr size_t kHostsMax = 4096;

struct Host {
  peers::Endpoint endpoint;
  PeerState state;
};

struct Holder {
  peers::PeerId peer;
  bool leads;
  uint32_t epoch;
  uint64_t version;
  int load;  // load_of(); below 0: not told
};

uint32_t epoch_led(const std::vector<Holder>& holders) {
  uint32_t epoch = 0;
  for (const Holder& holder : holders) {
    if (holder.leads) epoch = std::max(epoch, holder.epoch);
  }
  return epoch;
}

}  // namespace

struct Finder::State {
  State(base::Loop& l, const SwarmSpec& spec, Rng rng)
      : loop(l), room(room_of(spec)), changed(l.wait_point()), health({}, rng) {}

  void on_event(const peers::DirectoryEvent& event) {
    const peers::Record& record = *event.record;
    base::MutexLock lock(mutex);
    forget(record.peer);
    if (event.kind == peers::DirectoryEvent::Kind::gone) {
      health.forget(record.peer);
    } else {
      learn(record);
    }
    changed->wake_all();
  }

  void learn(const peers::Record& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    StatusOr<PeerState> state = decode_peer_state(record.body);
    if (!state.ok() || !state->host || hosts.size() >= kHostsMax) return;
    health.on_report(record.peer, loop.now_ns(), state->load_us);
    for (const HeldRange& range : state->held) {
      for (int32_t e = range.first; e < end_in(room, range); ++e) {
        holders[{range.layer, ExpertId(e)}].push_back(
            {record.peer, range.leads, range.epoch, range.version, load_at(range, e - range.first)});
      }
    }
    for (const RetiredRange& range : state->retired) {
      for (int32_t e = range.first; e < end_in(room, range); ++e) retired.insert({range.layer, ExpertId(e)});
    }
    hosts.emplace(record.peer, Host{record.endpoint, *std::move(state)});
  }

  void forget(const peers::PeerId& peer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    const auto host = hosts.find(peer);
    if (host == hosts.end()) return;
    for (const HeldRange& range : host->second.state.held) {
      for (int32_t e = range.first; e < end_in(room, range); ++e) {
        const auto held = holders.find({range.layer, ExpertId(e)});
        std::erase_if(held->second, [&](const Holder& holder) { return holder.peer == peer; });
        if (held->second.empty()) holders.erase(held);
      }
    }
    hosts.erase(host);
  }

  // The first expert that nobody leads, if there is one.
  bool covered(int64_t layers, int64_t experts, ExpertName* missing) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    for (int64_t l = 0; l < layers; ++l) {
      for (int64_t e = 0; e < experts; ++e) {
        *missing = {LayerId(l), ExpertId(e)};
        if (retired.contains(*missing)) continue;
        const auto held = holders.find(*missing);
        if (held == holders.end()) return false;
        if (std::none_of(held->second.begin(), held->second.end(), [](const Holder& h) { return h.leads; })) {
          return false;
        }
      }
    }
    return true;
  }

  base::Loop& loop;
  const ExpertRoom room;
  mutable base::Mutex mutex;
  const std::unique_ptr<base::WaitPoint> changed;
  std::unordered_map<peers::PeerId, Host> hosts ABSL_GUARDED_BY(mutex);
  std::map<ExpertName, std::vector<Holder>> holders ABSL_GUARDED_BY(mutex);
  std::set<ExpertName> retired ABSL_GUARDED_BY(mutex);  // for ever
  peers::Health health ABSL_GUARDED_BY(mutex);
};

Finder::Finder(base::Loop& loop, peers::Directory& directory, const SwarmSpec& spec, Rng rng)
    : state_(std::make_shared<State>(loop, spec, rng)) {
  loop.post([&directory, weak = std::weak_ptr(state_)] {
    directory.subscribe([weak](const peers::DirectoryEvent& event) {
      if (const std::shared_ptr<State> state = weak.lock()) state->on_event(event);
    });
  });
}

Finder::~Finder() = default;

std::vector<Candidate> Finder::candidates(ExpertName expert) const {
  const int64_t now_ns = state_->loop.now_ns();
  base::MutexLock lock(state_->mutex);
  const auto held = state_->holders.find(expert);
  if (held == state_->holders.end()) return {};
  const std::vector<Holder>& holders = held->second;
  std::vector<peers::PeerId> ids;
  for (const Holder& holder : holders) ids.push_back(holder.peer);
  std::vector<Candidate> candidates;
  for (const size_t i : state_->health.usable(ids, now_ns)) {
    candidates.push_back({.peer = ids[i],
                          .endpoint = state_->hosts.at(ids[i]).endpoint,
                          .leads = holders[i].leads,
                          .epoch = holders[i].epoch,
                          .version = holders[i].version,
                          .wait_ns = state_->health.expected_ns(ids[i], now_ns)});
  }
  return candidates;
}

void Finder::on_call(const peers::PeerId& peer) {
  base::MutexLock lock(state_->mutex);
  state_->health.on_call(peer, state_->loop.now_ns());
}

void Finder::on_reply(const peers::PeerId& peer, int64_t latency_ns, uint32_t load_us) {
  base::MutexLock lock(state_->mutex);
  state_->health.on_answer(peer, state_->loop.now_ns(), latency_ns, load_us);
}

void Finder::on_failure(const peers::PeerId& peer) {
  base::MutexLock lock(state_->mutex);
  state_->health.on_failure(peer, state_->loop.now_ns());
}

void Finder::on_late(const peers::PeerId& peer, int64_t waited_ns) {
  base::MutexLock lock(state_->mutex);
  state_->health.on_late(peer, state_->loop.now_ns(), waited_ns);
}

void Finder::on_given_up(const peers::PeerId& peer) {
  base::MutexLock lock(state_->mutex);
  state_->health.on_given_up(peer, state_->loop.now_ns());
}

int64_t Finder::patience_ns(const peers::PeerId& peer) const {
  base::MutexLock lock(state_->mutex);
  return state_->health.patience_ns(peer, state_->loop.now_ns());
}

std::vector<int64_t> Finder::loads(LayerId layer, int64_t experts) const {
  std::vector<int64_t> sums(static_cast<size_t>(experts), 0);
  base::MutexLock lock(state_->mutex);
  for (int64_t e = 0; e < experts; ++e) {
    const auto held = state_->holders.find({layer, ExpertId(e)});
    if (held == state_->holders.end()) continue;
    const uint32_t epoch = epoch_led(held->second);
    for (const Holder& holder : held->second) {
      if (holder.leads && holder.epoch < epoch) continue;  // it has gone: its record only outlives it
      if (holder.load >= 0) {
        sums[static_cast<size_t>(e)] += std::llround(rows_per_s_of(static_cast<uint8_t>(holder.load)));
      } else if (holder.leads) {
        return std::vector<int64_t>(static_cast<size_t>(experts), 0);
      }
    }
  }
  return sums;
}

Status Finder::wait_until_covered(int64_t layers, int64_t experts, int64_t deadline_ns) const {
  base::MutexLock lock(state_->mutex);
  ExpertName missing;
  while (!state_->covered(layers, experts, &missing)) {
    if (state_->loop.now_ns() >= deadline_ns) {
      return absl::DeadlineExceededError(absl::StrFormat(
          "nobody leads expert %d of layer %d yet; %d hosts are known. Start more, or wait longer",
          missing.expert.value, missing.layer.value, state_->hosts.size()));
    }
    state_->changed->wait_until(state_->mutex, deadline_ns);
  }
  return absl::OkStatus();
}

}  // namespace agora::swarm
