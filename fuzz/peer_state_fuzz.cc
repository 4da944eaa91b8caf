// Any bytes as a peer's state: read, and what was read written and read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "agora/swarm/peer_state.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto state = agora::swarm::decode_peer_state({reinterpret_cast<const char*>(data), size});
  if (!state.ok()) return 0;
  if (!agora::swarm::decode_peer_state(agora::swarm::encode(*state)).ok()) std::abort();
  return 0;
}
