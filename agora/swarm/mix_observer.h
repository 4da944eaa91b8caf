// Sees who served each choice of a mixture over many hosts: for explain, and for what an answer says of
// itself.
//
//   RemoteExperts experts(loop, transport, finder, spec, {.observer = &observer});
//
// Told once for every mix() that succeeds, on the thread that called it, before it returns.
#pragma once

#include <cstdint>
#include <span>

#include "agora/base/ids.h"
#include "agora/moe/route.h"
#include "agora/peers/peer_id.h"

namespace agora::swarm {

enum class ServedBy : uint8_t {
  replica,      // whom the call was first sent to
  hedge,        // another replica, asked because the first was late or lost
  next_expert,  // another expert in the chosen one's place
  nobody,       // the choice's weight is lost
};

struct ServedChoice {
  ServedBy by = ServedBy::nobody;
  ExpertId expert;       // that served: the chosen one, but for next_expert
  peers::PeerId host;    // empty where nobody did
  uint64_t version = 0;  // of the expert, as the host says
};

class MixObserver {
 public:
  virtual ~MixObserver() = default;
  // served [choices of route], in its order.
  virtual void on_mix(LayerId layer, const moe::Route& route, std::span<const ServedChoice> served) = 0;
};

}  // namespace agora::swarm
