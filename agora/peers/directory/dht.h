// A distributed hash table as the directory needs it: who is in a swarm, and the record of who listens where.
//
//   dht.join(endpoint);   dht.announce(swarm, me);   dht.put(swarm, me, record_bytes);
//   dht.find(swarm, [&](const std::vector<Endpoint>& found) { ... });
//   dht.get(swarm, endpoint, [&](std::vector<std::byte> record) { ... });   // empty: nobody has one
//
// A stranger knows a peer's endpoint (by find) before it knows its key, so records are kept under (swarm,
// endpoint), where anybody may write: the record's own signature tells what is true, and an overwritten one
// costs a contact (docs/decisions/007-directory.md). Nothing is promised: answers come late, old, forged or
// not at all, and callers limit how much they ask. Implementations: libtorrent_dht (real), simulated_dht. On
// the loop that the implementation was given; callbacks run there, never inside the call, and not after the
// destructor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "agora/peers/endpoint.h"
#include "agora/peers/peer_id.h"

namespace agora::peers {

// The UDP port of the node of a peer whose transport listens at `port`: 10,000 above, below where there is no
// such port. Not the same number: libtorrent opens TCP beside its UDP, and refuses nothing less than that.
constexpr uint16_t dht_port(uint16_t port) {
  constexpr uint16_t kApart = 10'000;
  return static_cast<uint16_t>(port <= UINT16_MAX - kApart ? port + kApart : port - kApart);
}

// Endpoints are those of transports throughout.
class Dht {
 public:
  using Found = std::function<void(const std::vector<Endpoint>&)>;
  using Got = std::function<void(std::vector<std::byte>)>;
  virtual ~Dht() = default;

  virtual void join(const Endpoint& peer) = 0;  // any living one will do
  virtual void announce(const SwarmId& swarm, const Endpoint& self) = 0;
  // Called for every answer that comes, maybe never; ends when the next find begins.
  virtual void find(const SwarmId& swarm, Found found) = 0;
  // bytes: at most kRecordBytesMax. The last writer wins.
  virtual void put(const SwarmId& swarm, const Endpoint& at, std::vector<std::byte> bytes) = 0;
  virtual void get(const SwarmId& swarm, const Endpoint& at, Got got) = 0;  // called once
};

}  // namespace agora::peers
