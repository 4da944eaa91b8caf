// The port: takes connections in, and passes on only those that have begun to speak TLS.
//
//   AGORA_ASSIGN_OR_RETURN(auto acceptor, Acceptor::open(listen, limits, loop, meters, pass_on));
//   acceptor->passed().proven(from);   // what becomes of those: passed_connections.h
//   acceptor->stop();
//
// gRPC gives every connection memory of its own and up to two minutes, stops listening for good when the
// process has no more file descriptors, and has no limit on connections. So we accept: until a whole TLS
// hello has come, a connection costs a file descriptor and a map entry, the oldest makes room for the
// newest, and none stays longer than the limit. Works on the loop's thread; the functions here are for any
// other thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string_view>

#include "agora/base/result.h"
#include "agora/peers/endpoint.h"
#include "agora/peers/transport/grpc/epoll_loop.h"
#include "agora/peers/transport/grpc/passed_connections.h"
#include "agora/peers/transport/limits.h"
#include "agora/peers/transport/session.h"

namespace agora::peers {

// Where a connection comes from, as gRPC writes it: ipv4:1.2.3.4:5, ipv6:%5B::1%5D:5. Empty: neither.
Endpoint endpoint_of_uri(std::string_view uri);

class Acceptor {
 public:
  using PassOn = std::function<void(int fd)>;  // owns the file from then on; on the loop

  // Unavailable: the port is taken, or not ours to open. The loop and the meters outlive it.
  static StatusOr<std::unique_ptr<Acceptor>> open(const Endpoint& listen, const TransportLimits& limits,
                                                  EpollLoop& loop, Meters& meters, PassOn pass_on);
  ~Acceptor();

  const Endpoint& endpoint() const { return endpoint_; }  // the address and port that it came to
  void listen();                                          // begins
  PassedConnections& passed() { return passed_; }
  // Once, while the loop runs, before the destructor. Returns when nothing is passed on any more.
  void stop();

 private:
  Acceptor(int fd, Endpoint endpoint, const TransportLimits& limits, EpollLoop& loop, Meters& meters,
           PassOn pass_on);

  void accept_all();
  bool accept_one();
  void admit(int fd);
  void look(int fd);
  void drop(int fd);
  void drop_oldest();
  void tick();

  const int listener_;
  const Endpoint endpoint_;
  const TransportLimits limits_;
  EpollLoop& loop_;
  Meters& meters_;
  const PassOn pass_on_;
  PassedConnections passed_;

  // On the loop.
  bool stopped_ = false;
  uint64_t last_ = 0;
  std::map<uint64_t, int> waiting_;  // files by number, the oldest first
  struct Waiting {
    uint64_t number;
    int64_t until_ns;
  };
  std::map<int, Waiting> by_file_;
};

}  // namespace agora::peers
