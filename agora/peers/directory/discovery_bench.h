// How long many peers of one process take to find each other: the line discovery_200_hosts_s.
//
//   AGORA_ASSIGN_OR_RETURN(DiscoveryResult r, bench_discovery({.peers = 200}, make_transport));
//
// Every peer has its own identity, transport, DHT node (libtorrent, real UDP on 127.0.0.1) and directory,
// and is told of the first one only. Time runs from when all are told until each knows all others: starting
// 200 processes is not part of it. Peers share some loops, as many processes would share the machine's
// cores. Any thread; blocks.
#pragma once

#include <functional>
#include <memory>

#include "agora/base/result.h"
#include "agora/peers/identity/identity.h"
#include "agora/peers/transport/transport.h"

namespace agora::peers {

struct DiscoverySettings {
  int peers = 200;
  int loops = 2;            // threads that the directories share
  double seconds_max = 60;  // Unavailable when it takes longer
};

struct DiscoveryResult {
  double discovery_s = 0;  // until the last peer knew all others
};

// Makes the transport of a peer: called once for each, before the time begins.
using TransportMaker = std::function<StatusOr<std::unique_ptr<Transport>>(const Identity&)>;

StatusOr<DiscoveryResult> bench_discovery(const DiscoverySettings& settings,
                                          const TransportMaker& make_transport);

}  // namespace agora::peers
