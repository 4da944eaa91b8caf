// The real distributed hash table: libtorrent's Kademlia (BEP 5, BEP 44), in a network of our own peers only.
//
//   AGORA_ASSIGN_OR_RETURN(std::unique_ptr<Dht> dht, start_libtorrent_dht(loop, {"0.0.0.0", 4700}));
//   dht->join({"192.168.1.5", 4700});
//
// One UDP socket at dht_port() for each address of this machine (or for the one address given), and a TCP
// one beside it, where libtorrent hangs up on whoever calls. No node is known but those that are joined, so
// nothing ever leaves for the public DHT. One thread of libtorrent's, which ends with the destructor; 1
// MiB. Starting takes 20 ms. Made and destroyed anywhere, while the loop runs nothing of it: from a task of
// the loop, or before and after it runs.
#pragma once

#include <memory>

#include "agora/base/loop.h"
#include "agora/base/result.h"
#include "agora/peers/directory/dht.h"

namespace agora::peers {

// listen: of the peer's transport, which may be there already. Unavailable: the port can not be had.
// InvalidArgument: listen.host is not an address.
StatusOr<std::unique_ptr<Dht>> start_libtorrent_dht(base::Loop& loop, const Endpoint& listen);

}  // namespace agora::peers
