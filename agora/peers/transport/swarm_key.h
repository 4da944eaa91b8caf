// The secret of a private swarm: whoever can not prove that it has the key is not let in.
//
//   AGORA_ASSIGN_OR_RETURN(SwarmKey key, load_swarm_key("home.key"));
//   Proof proof = swarm_proof(key, {.prover = me, .verifier = peer, .prover_nonce = ...,
//       .verifier_nonce = ...});
//
// The file is one line of 64 hexadecimal digits, which its owner alone can read; docs/guide/lab.md makes one.
// A proof is an HMAC-SHA256 over both peers' ids, which TLS has proved, and a fresh nonce of each: it is good
// for this connection, this direction and these two peers only. Any thread (values).
#pragma once

#include <array>
#include <cstddef>
#include <string>

#include "agora/base/result.h"
#include "agora/peers/peer_id.h"

namespace agora::peers {

using SwarmKey = std::array<std::byte, 32>;
using Nonce = std::array<std::byte, 32>;
using Proof = std::array<std::byte, 32>;

struct ProofSubject {
  PeerId prover, verifier;
  Nonce prover_nonce{}, verifier_nonce{};
};

// NotFound; PermissionDenied: others may read the file; InvalidArgument: not a key. Names the file.
StatusOr<SwarmKey> load_swarm_key(const std::string& path);

Proof swarm_proof(const SwarmKey& key, const ProofSubject& subject);
bool same_proof(const Proof& a, const Proof& b);  // in constant time
Nonce random_nonce();

}  // namespace agora::peers
