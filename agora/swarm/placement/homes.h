// Which host should lead which expert, so that a row has few hosts to go to and every host has its share.
//
//   Homes homes(layers, experts);
//   homes.settle(hosts);             // in any order; nothing changes when they are as before
//   homes.of({layer, expert});       // null: nobody has room for it
//
// A row costs bytes for every host that it goes to (design: a mixture is a sum), so a layer's experts belong
// together: each layer ranks the hosts anew (rendezvous(), holders.h) and fills the first up to its share of
// all experts, then the next (bounded loads: Mirrokni, Thorup & Zadimoghaddam 2018). Whoever knows the same
// hosts finds the same homes.
//
// With K experts drawn evenly from a layer that is spread over Q hosts a row meets Q (1 - (1 - 1/Q)^K) of
// them: Q is P when experts are scattered, and here about 1 + P / L. settle(): P log P, and L (P + E) when
// hosts have changed. Bytes: 4 an expert, 40 a host. Pure. One thread at a time.
#pragma once

#include <cstdint>
#include <vector>

#include "agora/peers/peer_id.h"
#include "agora/swarm/host/held_experts.h"

namespace agora::swarm {

class Homes {
 public:
  struct Host {
    peers::PeerId peer;
    int64_t capacity = 0;  // experts that it holds or has room for
    friend auto operator<=>(const Host&, const Host&) = default;
  };

  Homes(int64_t layers, int64_t experts) : layers_(layers), experts_(experts) {}

  void settle(std::vector<Host> hosts);
  const peers::PeerId* of(ExpertName expert) const;

 private:
  void fill(int64_t layer, std::vector<int64_t>& free);

  int64_t layers_;
  int64_t experts_;
  std::vector<Host> hosts_;     // by peer; capacity at most a share
  std::vector<int32_t> homes_;  // [layers * experts] of hosts_; kNobody
};

}  // namespace agora::swarm
