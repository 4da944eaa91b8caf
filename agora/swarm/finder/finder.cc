#include "agora/swarm/finder/finder.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <span>
#include <utility>

#include "absl/strings/str_format.h"
#include "agora/base/mutex.h"
#include "agora/peers/health/health.h"
#include "agora/swarm/census.h"
#include "agora/swarm/host/holders.h"
#include "agora/swarm/peer_state.h"

namespace agora::swarm {
namespace {

constexpr size_t kHostsMax = 4096;

uint32_t epoch_led(std::span<const Holder> holders) {
  uint32_t epoch = 0;
  for (const Holder& holder : holders) {
    if (holder.leads) epoch = std::max(epoch, holder.epoch);
  }
  return epoch;
}

// Whether the host says how many rows come to the expert, which it holds.
bool tells_load(const PeerState& host, ExpertName expert) {
  const auto name_of_first = [](const HeldRange& range) {
    return ExpertName{range.layer, ExpertId(range.first)};
  };
  const auto after = std::ranges::upper_bound(host.held, expert, {}, name_of_first);
  return after != host.held.begin() && !std::prev(after)->loads.empty();
}

}  // namespace

struct Finder::State {
  State(base::Loop& l, const SwarmSpec& spec, Rng rng)
      : loop(l),
        room(room_of(spec)),
        changed(l.wait_point()),
        holders(room.layers, room.experts_max),
        health({}, rng) {}

  void on_event(const peers::DirectoryEvent& event) {
    const peers::Record& record = *event.record;
    base::MutexLock lock(mutex);
    if (event.kind == peers::DirectoryEvent::Kind::gone) {
      health.forget(record.peer);
      holders.remove(record.peer);
    } else {
      learn(record);
    }
    changed->wake_all();
  }

  void learn(const peers::Record& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    StatusOr<PeerState> state = decode_peer_state(record.body);
    const bool has_place = holders.hosts().size() < kHostsMax || holders.host(record.peer) != nullptr;
    if (!state.ok() || !state->host || !has_place) {
      holders.remove(record.peer);
      return;
    }
    health.on_report(record.peer, loop.now_ns(), state->load_us);
    for (const RetiredRange& range : state->retired) {
      for (int32_t e = range.first; e < end_in(room, range); ++e) retired.insert({range.layer, ExpertId(e)});
    }
    holders.set(record.peer, record.endpoint, *std::move(state));
  }

  std::span<const Holder> of(ExpertName expert) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    return expert.expert.value < room.experts_max ? holders.of(expert) : std::span<const Holder>();
  }

  // The first expert that nobody leads, if there is one.
  bool covered(int64_t layers, int64_t experts, ExpertName* missing) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    for (int64_t l = 0; l < layers; ++l) {
      for (int64_t e = 0; e < experts; ++e) {
        *missing = {LayerId(l), ExpertId(e)};
        if (retired.contains(*missing)) continue;
        if (std::ranges::none_of(of(*missing), &Holder::leads)) return false;
      }
    }
    return true;
  }

  base::Loop& loop;
  const ExpertRoom room;
  mutable base::Mutex mutex;
  const std::unique_ptr<base::WaitPoint> changed;
  Holders holders ABSL_GUARDED_BY(mutex);
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
  const std::span<const Holder> holders = state_->of(expert);
  std::vector<peers::PeerId> ids;
  for (const Holder& holder : holders) ids.push_back(holder.peer);
  std::vector<Candidate> candidates;
  for (const size_t i : state_->health.usable(ids, now_ns)) {
    candidates.push_back({.peer = ids[i],
                          .endpoint = state_->holders.host(ids[i])->endpoint,
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
    const ExpertName name{layer, ExpertId(e)};
    const std::span<const Holder> held = state_->of(name);
    const uint32_t epoch = epoch_led(held);
    for (const Holder& holder : held) {
      if (holder.leads && holder.epoch < epoch) continue;  // it has gone: its record only outlives it
      if (holder.leads && !tells_load(state_->holders.host(holder.peer)->state, name)) {
        return std::vector<int64_t>(static_cast<size_t>(experts), 0);
      }
      sums[static_cast<size_t>(e)] += std::llround(rows_per_s_of(holder.load));
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
          missing.expert.value, missing.layer.value, state_->holders.hosts().size()));
    }
    state_->changed->wait_until(state_->mutex, deadline_ns);
  }
  return absl::OkStatus();
}

}  // namespace agora::swarm
