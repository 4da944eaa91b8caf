// What hosts tell each other about the experts that they hold, as bytes: heads, hand-overs, growth.
//
//   encode_heads(holdings);   AGORA_ASSIGN_OR_RETURN(std::vector<ReplicaHead> heads, read_heads(bytes));
//
// Every message opens with kWireVersion. InvalidArgument: not such a message, beyond its limits; nothing was
// allocated then beyond what the message itself holds. Any thread (values).
#pragma once

#include <span>
#include <vector>

#include "agora/peers/transport/payload.h"
#include "agora/swarm/host/held_experts.h"

namespace agora::swarm {

// The blob kHeadsKey of kGetSnapshot: what a host holds, exactly, where its record may be coarse. 21 bytes
// each.
struct ReplicaHead {
  ExpertName name;
  bool leads = false;
  uint32_t epoch = 0;
  uint64_t version = 0;
  friend bool operator==(const ReplicaHead&, const ReplicaHead&) = default;
};
constexpr size_t kHeadsMax = 1 << 17;
constexpr size_t kHeadsBytesMax = 8 + 21 * kHeadsMax;
peers::Payload encode_heads(std::span<const ReplicaHead> heads);
StatusOr<std::vector<ReplicaHead>> read_heads(base::Bytes bytes);

// kHandOver and kRetireExpert: an expert. The receiver of a hand-over pulls the caller's last snapshot of it,
// leads, and then replies; nothing is in the reply.
peers::Payload encode_expert(ExpertName name);
StatusOr<ExpertName> read_expert(base::Bytes bytes);

// kAddExpert.
struct AddExpert {
  enum class From : uint8_t {
    nothing,      // first weights of its own
    most_loaded,  // a copy of its layer's most asked expert, moved a little
    given,        // a copy of `source`
    nearest,      // a copy of the most asked of those that the host holds itself: no weights travel
  };
  int32_t layer = -1;  // -1: one more in every layer
  From from = From::nothing;
  ExpertId source = {};
  float deviation = 0.01f;  // of the noise that tells a copy from its source, times the weights' own
};
peers::Payload encode(const AddExpert& request);
StatusOr<AddExpert> read_add_expert(base::Bytes bytes);

// The reply: what was added.
peers::Payload encode_experts(std::span<const ExpertName> names);
StatusOr<std::vector<ExpertName>> read_experts(base::Bytes bytes);

}  // namespace agora::swarm
