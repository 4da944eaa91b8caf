// Who a peer is: the SHA-256 of its Ed25519 public key. Whoever proves the key is the peer; nobody assigns
// ids.
//
//   PeerId id = peer_id_of(public_key);   id.text();   id.brief();   // 64 and 8 hexadecimal digits
//
// Any thread (values).
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>

#include "agora/base/result.h"

namespace agora::peers {

using PublicKey = std::array<std::byte, 32>;  // Ed25519, RFC 8032

struct PeerId {
  std::array<std::byte, 32> bytes{};

  bool empty() const { return *this == PeerId{}; }  // "whoever it is"
  std::string text() const;
  std::string brief() const;  // for people: lists and logs
  friend auto operator<=>(const PeerId&, const PeerId&) = default;
};

PeerId peer_id_of(const PublicKey& key);

// InvalidArgument unless it is 64 hexadecimal digits.
StatusOr<PeerId> parse_peer_id(std::string_view text);

// A swarm is named by the hash of its specification: peers of two swarms never mix.
struct SwarmId {
  std::array<std::byte, 32> bytes{};
  std::string text() const;
  friend auto operator<=>(const SwarmId&, const SwarmId&) = default;
};

}  // namespace agora::peers

template <>
struct std::hash<agora::peers::PeerId> {
  size_t operator()(const agora::peers::PeerId& id) const noexcept {
    size_t word;  // a cryptographic hash: any part of it is as good as the whole
    std::memcpy(&word, id.bytes.data(), sizeof word);
    return word;
  }
};
