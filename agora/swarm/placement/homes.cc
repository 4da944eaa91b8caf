#include "agora/swarm/placement/homes.h"

#include <algorithm>
#include <utility>

#include "agora/swarm/host/holders.h"

namespace agora::swarm {
namespace {

constexpr int32_t kNobody = -1;

// No layer is the same thing as an expert, or who follows most would be who leads most.
uint64_t rank_in(int64_t layer, const peers::PeerId& peer) {
  return rendezvous(peer, ~static_cast<uint64_t>(layer));
}

}  // namespace

void Homes::settle(std::vector<Host> hosts) {
  const auto count = static_cast<int64_t>(hosts.size());
  const int64_t share = count == 0 ? 0 : (layers_ * experts_ + count - 1) / count;
  for (Host& host : hosts) host.capacity = std::min(host.capacity, share);
  std::sort(hosts.begin(), hosts.end());
  if (hosts == hosts_ && !homes_.empty()) return;
  hosts_ = std::move(hosts);
  homes_.assign(static_cast<size_t>(layers_ * experts_), kNobody);
  std::vector<int64_t> free;
  for (const Host& host : hosts_) free.push_back(host.capacity);
  for (int64_t layer = 0; layer < layers_; ++layer) fill(layer, free);
}

// The best-ranked first; mostly one or two of them are needed, so they are not sorted.
void Homes::fill(int64_t layer, std::vector<int64_t>& free) {
  std::vector<std::pair<uint64_t, int32_t>> ranked;
  for (size_t host = 0; host < hosts_.size(); ++host) {
    if (free[host] > 0) ranked.emplace_back(rank_in(layer, hosts_[host].peer), static_cast<int32_t>(host));
  }
  std::make_heap(ranked.begin(), ranked.end());
  for (int64_t expert = 0; expert < experts_ && !ranked.empty(); ++expert) {
    const int32_t host = ranked.front().second;
    homes_[static_cast<size_t>(layer * experts_ + expert)] = host;
    if (--free[static_cast<size_t>(host)] > 0) continue;
    std::pop_heap(ranked.begin(), ranked.end());
    ranked.pop_back();
  }
}

const peers::PeerId* Homes::of(ExpertName expert) const {
  if (homes_.empty() || expert.layer.value >= layers_ || expert.expert.value >= experts_) return nullptr;
  const int32_t home = homes_[static_cast<size_t>(expert.layer.value * experts_ + expert.expert.value)];
  return home == kNobody ? nullptr : &hosts_[static_cast<size_t>(home)].peer;
}

}  // namespace agora::swarm
