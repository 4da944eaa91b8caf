// The connections that were passed on to gRPC, until they have ended: each by a second descriptor of ours, by
// which it can be cut off. gRPC ends a stream, but not its connection.
//
//   if (!passed.add(from, fd)) ...refuse;   pass_on(fd);
//   passed.streams(from, peer);    // its stream is known to us
//   passed.proven(from);           // it has proved who it is
//   passed.left(from);             // its stream has ended: it is cut off, unless it goes by itself meanwhile
//   passed.second_stream(peer);    // there is one that must be cut off at once
//   passed.forget_ended();         // now and then
//
// Without proof there are limits.connections_unproven_max at a time, each for kUnprovenStages times the
// limit's time. The oldest of the network that has most of them makes room: a flood from one place meets
// itself, and who proves himself within some round trips stays. And a connection carries one stream:
// GRPC_ARG_MAX_CONCURRENT_STREAMS holds in gRPC 1.51 only for who has acknowledged it, and a thread of gRPC's
// that finds more to read does not come back to us: a stranger's streams would take any memory meanwhile.
// Any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "agora/base/clock.h"
#include "agora/base/mutex.h"
#include "agora/peers/endpoint.h"
#include "agora/peers/transport/limits.h"
#include "agora/peers/transport/session.h"

namespace agora::peers {

class PassedConnections {
 public:
  // The clock and the meters outlive it.
  PassedConnections(const TransportLimits& limits, const Clock& clock, Meters& meters)
      : limits_(limits), clock_(clock), meters_(meters) {}
  ~PassedConnections() { clear(); }
  PassedConnections(const PassedConnections&) = delete;

  // Where as many as may be have no proof, one of those is cut off. False: the system has no descriptor left.
  // fd stays the caller's.
  bool add(const Endpoint& from, int fd);
  void streams(const Endpoint& from, const PeerId& peer);
  void proven(const Endpoint& from);
  void left(const Endpoint& from);
  // A connection of this peer has begun a second stream. Which one gRPC does not say: all of them are cut
  // off, and who has sent more than belongs before a stream.
  void second_stream(const PeerId& peer);
  // Whom gRPC has closed, and who has had its time.
  void forget_ended();
  void clear();  // nobody is cut off by it

 private:
  struct Passed {
    int file;              // gRPC's connection, by a descriptor of our own
    int64_t until_ns = 0;  // INT64_MAX: it has proved who it is
    uint64_t number = 0;   // in the order of their coming
    std::string network;   // where it comes from, as far as one owner has it all
    PeerId peer = {};      // empty: no stream of it is known to us
    bool unproven() const { return until_ns != INT64_MAX; }
  };
  using ByOrigin = std::map<Endpoint, Passed>;

  int unproven() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void make_room() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void forget_ended_locked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void cut_off(ByOrigin::iterator at) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const TransportLimits limits_;
  const Clock& clock_;
  Meters& meters_;

  base::Mutex mutex_;
  uint64_t last_ ABSL_GUARDED_BY(mutex_) = 0;
  ByOrigin passed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace agora::peers
