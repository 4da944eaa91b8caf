// Peers in one process that call each other without sockets: tests, the simulator, and one-process swarms.
//
//   auto network = std::make_shared<LoopbackNetwork>(loop);
//   LoopbackTransport a(network, identity_a.id(), {"loop", 1}), b(network, identity_b.id(), {"loop", 2});
//
// Every handler, part and reply runs as a task of the loop, in the order in which it was sent; time is the
// loop's. Payloads are shared, not copied. Any thread may call; with a VirtualLoop there is only one. The
// loop outlives the transports, and neither stop() nor the destructor is called from a handler or an event.
#pragma once

#include <map>
#include <memory>

#include "agora/base/loop.h"
#include "agora/base/mutex.h"
#include "agora/peers/transport/transport.h"

namespace agora::peers {

class LoopbackTransport;
struct LoopbackPeer;

// Who listens where. The part of a transport that outlives it is here, so that a call in flight to a peer
// that has gone finds nobody instead of a dangling pointer.
class LoopbackNetwork {
 public:
  explicit LoopbackNetwork(base::Loop& loop) : loop_(loop) {}
  base::Loop& loop() { return loop_; }

 private:
  friend class LoopbackTransport;
  void add(const Endpoint& at, std::shared_ptr<LoopbackPeer> peer);
  void remove(const Endpoint& at);
  std::shared_ptr<LoopbackPeer> find(const Endpoint& at);

  base::Loop& loop_;
  base::Mutex mutex_;
  std::map<Endpoint, std::shared_ptr<LoopbackPeer>> peers_ ABSL_GUARDED_BY(mutex_);
};

class LoopbackTransport final : public Transport {
 public:
  LoopbackTransport(std::shared_ptr<LoopbackNetwork> network, const PeerId& self, Endpoint endpoint);
  ~LoopbackTransport() override;

  const PeerId& self() const override;
  const Endpoint& endpoint() const override;
  using Transport::call;
  CallId call(const CallSettings& settings, Payload payload, CallEvents events) override;
  void cancel(CallId call) override;
  void serve(Method method, CallHandler handler) override;
  void stop() override;
  TransportCounters counters() const override;

 private:
  std::shared_ptr<LoopbackNetwork> network_;
  std::shared_ptr<LoopbackPeer> peer_;
};

}  // namespace agora::peers
