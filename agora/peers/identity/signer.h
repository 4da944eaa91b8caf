// Who can sign for a peer: its Identity, or in a simulation of many peers something cheaper.
//
//   Signature s = signer.sign(bytes);   PeerId id = peer_id_of(signer.public_key());
//
// Any thread.
#pragma once

#include <array>

#include "agora/base/bytes.h"
#include "agora/peers/peer_id.h"

namespace agora::peers {

using Signature = std::array<std::byte, 64>;

class Signer {
 public:
  virtual ~Signer() = default;
  virtual const PublicKey& public_key() const = 0;
  virtual Signature sign(base::Bytes bytes) const = 0;
};

}  // namespace agora::peers
