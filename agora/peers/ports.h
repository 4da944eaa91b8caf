// A peer's two ports: its transport's, and the directory's node beside it, which has dht_port() of that.
//
//   AGORA_ASSIGN_OR_RETURN(Ports ports, open_ports(loop, {"127.0.0.1", 0}, make_transport));
//   ports.transport->endpoint();
//
// Any thread, while the loop runs nothing of either.
#pragma once

#include <functional>
#include <memory>

#include "agora/base/loop.h"
#include "agora/base/result.h"
#include "agora/peers/directory/dht.h"
#include "agora/peers/transport/transport.h"

namespace agora::peers {

struct Ports {
  std::unique_ptr<Transport> transport;
  std::unique_ptr<Dht> dht;
};

// make_transport() starts one that listens at `listen`. Port 0: any; where another program has the port that
// would be the directory's, another transport is started. Unavailable: the ports can not be had.
StatusOr<Ports> open_ports(base::Loop& loop, const Endpoint& listen,
                           const std::function<StatusOr<std::unique_ptr<Transport>>()>& make_transport);

}  // namespace agora::peers
