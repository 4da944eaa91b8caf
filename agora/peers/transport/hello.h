// The first thing that two peers say to each other, before any call.
//
//   Payload bytes = encode_hello(hello);   AGORA_ASSIGN_OR_RETURN(Hello theirs, parse_hello(bytes));
//
// Both sides send hello at once, and a proof when the other's hello has come. Any thread (values).
#pragma once

#include <cstdint>

#include "agora/base/result.h"
#include "agora/peers/transport/payload.h"
#include "agora/peers/transport/swarm_key.h"

namespace agora::peers {

constexpr size_t kHelloBytesMax = 512;  // all that a peer may send before its proof, frame header and all

struct Hello {
  uint64_t incarnation = 0;  // of the process: random
  uint64_t dial = 0;         // numbers the dials of an incarnation; of the dialing side
  Nonce nonce{};
  bool keyed = false;  // wants a proof of the swarm key
};

Payload encode_hello(const Hello& hello);
// InvalidArgument: not a hello; FailedPrecondition: of another version.
StatusOr<Hello> parse_hello(base::Bytes bytes);

}  // namespace agora::peers
