// Where a peer listens for calls, by TCP; its DHT node listens beside it (dht_port() in directory/dht.h).
//
//   AGORA_ASSIGN_OR_RETURN(Endpoint at, parse_endpoint("192.168.1.5:4700"));   at.text();
//
// Any thread (values).
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "agora/base/result.h"

namespace agora::peers {

struct Endpoint {
  std::string host;  // an address, IPv6 without brackets; a name only where a person typed it
  uint16_t port = 0;

  bool empty() const { return port == 0; }
  std::string text() const;  // HOST:PORT, [HOST]:PORT for IPv6
  friend auto operator<=>(const Endpoint&, const Endpoint&) = default;
};

// An address or a name: letters, digits and what IPv4, IPv6 with its zone, and names are made of. Nothing
// else reaches a log, a terminal or a resolver.
constexpr size_t kHostBytesMax = 253;  // of a DNS name
bool is_host(std::string_view host);
// An address, IPv6 maybe with its zone: nobody need be asked what it stands for.
bool is_address(std::string_view host);

// InvalidArgument saying what was expected.
StatusOr<Endpoint> parse_endpoint(std::string_view text);

}  // namespace agora::peers
