// Any bytes as what hosts tell each other: heads, an expert, a wish for more of them, a snapshot.
#include <cstddef>
#include <cstdint>
#include <span>

#include "agora/swarm/host/host_messages.h"
#include "agora/swarm/host/snapshot.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const agora::base::Bytes bytes = std::as_bytes(std::span(data + 1, size - 1));
  switch (data[0] % 5) {
    case 0:
      (void)agora::swarm::read_heads(bytes);
      break;
    case 1:
      (void)agora::swarm::read_expert(bytes);
      break;
    case 2:
      (void)agora::swarm::read_add_expert(bytes);
      break;
    case 3:
      (void)agora::swarm::read_experts(bytes);
      break;
    default:
      (void)agora::swarm::Snapshot::open(bytes);
      (void)agora::swarm::read_snapshot_key(agora::base::as_text(bytes));
      break;
  }
  return 0;
}
