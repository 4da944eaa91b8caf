// Which other hosts hold which expert, as their records say: what leadership, placement and snapshots decide
// by.
//
//   Holders holders(spec.layers, spec.experts_max);
//   for (ExpertName changed : holders.set(peer, endpoint, state)) leadership.on_change(changed, now);
//   holders.remove(peer);   holders.of({layer, expert});
//
// A record's change costs what the record and the one before it say, however large the swarm is. Remembers of
// every expert the greatest epoch and version that anybody said, when all its holders have gone too. Bytes:
// 56 a replica, 80 an expert, 200 a host. What a record claims beyond the spec's layers and experts is
// ignored. Pure. One thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "agora/peers/endpoint.h"
#include "agora/swarm/host/held_experts.h"
#include "agora/swarm/peer_state.h"

namespace agora::swarm {

struct Holder {
  peers::PeerId peer;
  bool leads = false;
  uint32_t epoch = 0;
  uint64_t version = 0;
  uint8_t load = 0;  // 0 also where it is not told
};

struct OtherHost {
  peers::Endpoint endpoint;
  PeerState state;
};

constexpr int64_t kBlocksMax = 1024;

// Who of several hosts should have a thing: the one with the greater number (rendezvous hashing, Thaler &
// Ravishankar 1998). Every host computes the same.
uint64_t rendezvous(const peers::PeerId& host, uint64_t thing);

class Holders {
 public:
  Holders(int64_t layers, int64_t experts_max)
      : layers_(layers),
        experts_max_(experts_max),
        block_((layers * experts_max + kBlocksMax - 1) / kBlocksMax) {}

  // Both give the experts whose holders may have changed. Peers that are no hosts hold nothing.
  std::vector<ExpertName> set(const peers::PeerId& peer, const peers::Endpoint& endpoint, PeerState state);
  std::vector<ExpertName> remove(const peers::PeerId& peer);

  std::span<const Holder> of(ExpertName expert) const;
  bool holds(const peers::PeerId& peer, ExpertName expert) const;
  // The one that leads: of several the greatest epoch's, of one epoch the best ranked. Null: nobody.
  const Holder* leader_of(ExpertName expert) const;
  // Who of several hosts should hold and lead an expert: by rendezvous(). Neighbours share their ranking
  // where there are more than kBlocksMax experts: what a host holds are ranges then.
  uint64_t rank_of(const peers::PeerId& peer, ExpertName expert) const;
  uint32_t epoch_seen(ExpertName expert) const;
  uint64_t version_seen(ExpertName expert) const;
  bool seen(ExpertName expert) const;
  void expect(ExpertName expert) { entries_.try_emplace(index(expert)); }  // as if somebody had held it

  const std::unordered_map<peers::PeerId, OtherHost>& hosts() const { return hosts_; }
  const OtherHost* host(const peers::PeerId& peer) const;

 private:
  struct Entry {
    std::vector<Holder> holders;
    uint32_t epoch_seen = 0;
    uint64_t version_seen = 0;
  };
  int64_t index(ExpertName expert) const { return expert.layer.value * experts_max_ + expert.expert.value; }
  std::vector<ExpertName> forget_held(const peers::PeerId& peer, const PeerState& state);
  template <class Visit>
  void each(const PeerState& state, Visit visit) const;

  int64_t layers_;
  int64_t experts_max_;
  int64_t block_;  // experts of one ranking
  std::unordered_map<int64_t, Entry> entries_;
  std::unordered_map<peers::PeerId, OtherHost> hosts_;
};

}  // namespace agora::swarm
