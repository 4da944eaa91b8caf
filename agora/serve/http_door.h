// What every HTTP server of ours has in common: how many may come in, how long they may be silent, its port.
//
//   httplib::Server server;
//   set_door(server, {.threads = 4, .waiting_max = 32, .silence_s = 2, .kept_s = 2, .body_bytes_max = 0});
//   server.Get(...);
//   AGORA_ASSIGN_OR_RETURN(const peers::Endpoint at, open_door(server, listen));
//   std::thread thread = serve_at_door(server);      // until server.stop()
//
// A connection has a thread while a request of it is under way or awaited; connections beyond wait in a
// queue, and beyond that at the door: the system keeps them. Any thread.
#pragma once

#include <cstddef>
#include <thread>

#include "agora/base/result.h"
#include "agora/peers/endpoint.h"

namespace httplib {
class Server;
}

namespace agora::serve {

struct HttpDoor {
  size_t threads;
  size_t waiting_max;
  int silence_s;  // of a client that sends or reads a request, then it is closed
  int kept_s;     // a connection without a request; the end of the server may take as long
  size_t body_bytes_max;
};

void set_door(httplib::Server& server, const HttpDoor& door);

// The port that was found. Unavailable: it is taken, or not ours to open. listen.port 0: any free one.
StatusOr<peers::Endpoint> open_door(httplib::Server& server, const peers::Endpoint& listen);

// Returns when the server can be stopped.
std::thread serve_at_door(httplib::Server& server);

}  // namespace agora::serve
