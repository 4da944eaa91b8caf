// What every HTTP server of ours has in common: how many may come in, what they may send, how long they may
// be silent, its port.
//
//   std::unique_ptr<httplib::Server> server =
//       make_door({.threads = 4, .waiting_max = 32, .silence_s = 2, .kept_s = 2, .body_bytes_max = 0});
//   server->Get(...);
//   AGORA_ASSIGN_OR_RETURN(const peers::Endpoint at, open_door(*server, listen));
//   std::thread thread = serve_at_door(*server);     // until server->stop()
//
// A connection is for one request and has a thread until that is answered; connections beyond wait in a
// queue, and beyond that at the door: the system keeps them. Of a request no more is read than
// HttpConnection::kHeadBytesMax and body_bytes_max, as the bytes come: a compressed body is not read at all,
// and a Range is answered with the whole, for one page in a thousand ranges is a thousand pages. Any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <thread>

#include "agora/base/result.h"
#include "agora/peers/endpoint.h"

namespace httplib {
class Server;
struct Request;
}  // namespace httplib

namespace agora::serve {

struct HttpDoor {
  size_t threads;
  size_t waiting_max;
  int silence_s;  // of a client that sends or reads a request, then it is closed
  int kept_s;     // of a connection before its request; the end of the server may take as long
  size_t body_bytes_max;
};

std::unique_ptr<httplib::Server> make_door(const HttpDoor& door);

// Whether who asks still waits for the answer. Of a request of a door's server, on its thread.
bool still_waits(const httplib::Request& request);

// The port that was found. Unavailable: it is taken, or not ours to open. listen.port 0: any free one.
StatusOr<peers::Endpoint> open_door(httplib::Server& server, const peers::Endpoint& listen);

// Returns when the server can be stopped.
std::thread serve_at_door(httplib::Server& server);

}  // namespace agora::serve
