// Calls between peers: a request goes to a peer that proved its id, parts and one reply come back.
//
//   transport.serve(Method{20}, [](std::shared_ptr<IncomingCall> call) { call->reply(absl::OkStatus(),
//       p); });
//   CallId id = transport.call({.to = peer, .at = endpoint, .method = Method{20}, .deadline_ns = now + 2e9},
//                              payload, [](Reply reply) { ... });
//   transport.cancel(id);
//
// Every call ends with exactly one reply: the peer's, DeadlineExceeded, Cancelled, Unavailable when the way
// to the peer broke (try another), PermissionDenied when who is there is not who was called, or lets us not
// in. Replies and requests are handed over on a thread of the transport (in the simulator: on the loop),
// never inside call(), but for calls after stop(): take what they bring and return soon. Calls between two
// peers share one connection, both ways, and do not wait for each other; they may overtake each other.
// Implementations: grpc (mutual TLS), loopback (in one process), simulated; and faulty_transport around any
// of them. All pass tests/conformance/transport_suite.h. Any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <memory>

#include "agora/base/result.h"
#include "agora/peers/endpoint.h"
#include "agora/peers/peer_id.h"
#include "agora/peers/transport/payload.h"

namespace agora::peers {

// What a call asks for; who serves it gives it a meaning. 1-15: peers/ itself. 16 and above: swarm/ and up.
struct Method {
  uint16_t value = 0;
  friend auto operator<=>(Method, Method) = default;
};

// A host's queue takes the lowest first.
enum class Priority : uint8_t { interactive, training, background };

struct CallId {
  uint64_t value = 0;  // of this process; 0: none
  friend auto operator<=>(CallId, CallId) = default;
};

struct CallSettings {
  PeerId to{};    // empty: whoever proves to be at the endpoint; the reply says who
  Endpoint at{};  // must not be empty
  Method method{};
  Priority priority = Priority::training;
  int64_t deadline_ns = 0;  // of the transport's clock; travels as the time that is left. Always finite
  uint64_t trace = 0;       // names the request that this call is part of, on every peer it touches. 0: none
};

struct Reply {
  Status status{};         // the peer's answer or the transport's
  PeerId from{};           // empty when nobody answered
  uint32_t load_us = 0;    // how long a call that came to the peer now would wait, in microseconds
  bool from_peer = false;  // false: the transport made this reply up
  Payload payload{};
};

struct CallEvents {
  std::function<void(Reply)> done{};    // once
  std::function<void(Payload)> part{};  // before done, in order; may be empty
};

// A request at the peer that serves it. Dropped without a reply it answers Unavailable by itself.
class IncomingCall {
 public:
  virtual ~IncomingCall() = default;
  virtual const PeerId& from() const = 0;
  virtual Method method() const = 0;
  virtual Priority priority() const = 0;
  virtual int64_t deadline_ns() const = 0;  // of this peer's transport's clock
  virtual uint64_t trace() const = 0;
  virtual const Payload& payload() const = 0;

  // The caller gave up, its deadline passed, or its connection broke: the work is for nobody.
  virtual bool abandoned() const = 0;
  virtual void part(Payload payload) = 0;
  // The first reply counts, later ones are ignored. load_us: see Reply.
  virtual void reply(const Status& status, Payload payload = {}, uint32_t load_us = 0) = 0;
};

using CallHandler = std::function<void(std::shared_ptr<IncomingCall>)>;

struct TransportCounters {
  uint64_t calls_sent = 0, calls_received = 0, bytes_sent = 0, bytes_received = 0;
  uint64_t calls_failed = 0;         // sent, and ended with an error; not those that were cancelled
  uint64_t frames_refused = 0;       // not parseable, too large, unknown method or call
  uint64_t connections_refused = 0;  // no proof of the id, wrong swarm key, over a limit
  uint64_t calls_dropped_late = 0;   // their deadline had passed when they came
  int64_t connections = 0;           // now
};

class Transport {
 public:
  virtual ~Transport() = default;
  virtual const PeerId& self() const = 0;
  virtual const Endpoint& endpoint() const = 0;  // where others reach this peer

  virtual CallId call(const CallSettings& settings, Payload payload, CallEvents events) = 0;
  CallId call(const CallSettings& settings, Payload payload, std::function<void(Reply)> done) {
    return call(settings, std::move(payload), CallEvents{std::move(done), {}});
  }
  // The reply (Cancelled, or what came before) still comes. The peer is told.
  virtual void cancel(CallId call) = 0;

  // Before the first request comes; once a method. Calls of other methods are answered Unimplemented.
  virtual void serve(Method method, CallHandler handler) = 0;

  // Refuses new calls, ends all that are open (Cancelled) and returns when no handler or event runs any more.
  virtual void stop() = 0;
  virtual TransportCounters counters() const = 0;
};

}  // namespace agora::peers
