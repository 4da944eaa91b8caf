#include "agora/swarm/host/holders.h"

#include <algorithm>
#include <utility>

#include "agora/base/rng.h"

namespace agora::swarm {

uint64_t rendezvous(const peers::PeerId& host, uint64_t thing) {
  return mix_bits(std::hash<peers::PeerId>()(host) ^ mix_bits(thing));
}

// visit(name, range, load) for every expert of the state that can be.
template <class Visit>
void Holders::each(const PeerState& state, Visit visit) const {
  for (const HeldRange& range : state.held) {
    if (range.layer.value >= layers_) continue;
    const int64_t end = std::min<int64_t>(range.first + int64_t{range.count}, experts_max_);
    for (int64_t e = range.first; e < end; ++e) {
      const int load = std::max(load_at(range, static_cast<int32_t>(e - range.first)), 0);
      visit(ExpertName{range.layer, ExpertId{e}}, range, static_cast<uint8_t>(load));
    }
  }
}

std::vector<ExpertName> Holders::set(const peers::PeerId& peer, const peers::Endpoint& endpoint,
                                     PeerState state) {
  const auto [host, is_new] = hosts_.try_emplace(peer);
  std::vector<ExpertName> changed;
  if (!is_new) changed = forget_held(peer, host->second.state);
  if (!state.host) {
    hosts_.erase(host);
    return changed;
  }
  each(state, [&](ExpertName name, const HeldRange& range, uint8_t load) {
    Entry& entry = entries_[index(name)];
    entry.holders.push_back({peer, range.leads, range.epoch, range.version, load});
    entry.epoch_seen = std::max(entry.epoch_seen, range.epoch);
    entry.version_seen = std::max(entry.version_seen, range.version);
    changed.push_back(name);
  });
  host->second = {endpoint, std::move(state)};
  std::sort(changed.begin(), changed.end());
  changed.erase(std::unique(changed.begin(), changed.end()), changed.end());
  return changed;
}

std::vector<ExpertName> Holders::remove(const peers::PeerId& peer) {
  const auto found = hosts_.find(peer);
  if (found == hosts_.end()) return {};
  std::vector<ExpertName> changed = forget_held(peer, found->second.state);
  hosts_.erase(found);
  return changed;
}

std::vector<ExpertName> Holders::forget_held(const peers::PeerId& peer, const PeerState& state) {
  std::vector<ExpertName> changed;
  each(state, [&](ExpertName name, const HeldRange&, uint8_t) {
    std::erase_if(entries_[index(name)].holders, [&](const Holder& h) { return h.peer == peer; });
    changed.push_back(name);
  });
  return changed;
}

std::span<const Holder> Holders::of(ExpertName expert) const {
  const auto found = entries_.find(index(expert));
  if (found == entries_.end()) return {};
  return found->second.holders;
}

bool Holders::holds(const peers::PeerId& peer, ExpertName expert) const {
  return std::ranges::any_of(of(expert), [&](const Holder& holder) { return holder.peer == peer; });
}

const Holder* Holders::leader_of(ExpertName expert) const {
  const Holder* leader = nullptr;
  for (const Holder& holder : of(expert)) {
    if (!holder.leads) continue;
    if (leader == nullptr || holder.epoch > leader->epoch ||
        (holder.epoch == leader->epoch && rank_of(holder.peer, expert) > rank_of(leader->peer, expert))) {
      leader = &holder;
    }
  }
  return leader;
}

uint64_t Holders::rank_of(const peers::PeerId& peer, ExpertName expert) const {
  return rendezvous(peer, static_cast<uint64_t>(index(expert) / block_));
}

uint32_t Holders::epoch_seen(ExpertName expert) const {
  const auto found = entries_.find(index(expert));
  return found == entries_.end() ? 0 : found->second.epoch_seen;
}

uint64_t Holders::version_seen(ExpertName expert) const {
  const auto found = entries_.find(index(expert));
  return found == entries_.end() ? 0 : found->second.version_seen;
}

bool Holders::seen(ExpertName expert) const { return entries_.contains(index(expert)); }

const OtherHost* Holders::host(const peers::PeerId& peer) const {
  const auto found = hosts_.find(peer);
  return found == hosts_.end() ? nullptr : &found->second;
}

}  // namespace agora::swarm
