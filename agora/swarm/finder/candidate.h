// A host that could serve an expert now, as this gate knows. A value type; any thread.
#pragma once

#include <cstdint>

#include "agora/peers/endpoint.h"
#include "agora/peers/peer_id.h"

namespace agora::swarm {

struct Candidate {
  peers::PeerId peer = {};
  peers::Endpoint endpoint = {};
  bool leads = false;
  uint32_t epoch = 0;
  uint64_t version = 0;
  int64_t wait_ns = 0;  // expected: queue and latency
};

}  // namespace agora::swarm
