// The transports, each through the suite of what every transport must do.
#include "agora/base/thread_loop.h"
#include "agora/base/virtual_loop.h"
#include "agora/peers/identity/identity.h"
#include "agora/peers/transport/faulty_transport.h"
#include "agora/peers/transport/grpc/grpc_transport.h"
#include "agora/peers/transport/loopback.h"

#include "tests/conformance/transport_suite.h"

namespace agora::tests {
namespace {

using peers::Identity;
using peers::Transport;

class LoopbackNet : public TransportNet {
 public:
  explicit LoopbackNet(base::Loop& loop) : network_(std::make_shared<peers::LoopbackNetwork>(loop)) {}
  std::unique_ptr<Transport> add_peer() override {
    const uint16_t port = ++last_port_;
    return std::make_unique<peers::LoopbackTransport>(network_, Identity::from_seed(port).id(),
                                                      peers::Endpoint{"loop", port});
  }

 private:
  const std::shared_ptr<peers::LoopbackNetwork> network_;
  uint16_t last_port_ = 0;
};

class ThreadedNet final : public LoopbackNet {
 public:
  ThreadedNet() : LoopbackNet(loop_) {}
  const Clock& clock() const override { return loop_; }
  bool has_threads() const override { return true; }
  bool await(const std::function<bool()>& so) override { return await_in_real_time(so); }

 private:
  base::ThreadLoop loop_{"test-loop"};
};

class VirtualNet : public LoopbackNet {
 public:
  VirtualNet() : LoopbackNet(loop_) {}
  const Clock& clock() const override { return loop_; }
  bool has_threads() const override { return false; }
  bool await(const std::function<bool()>& so) override {
    while (!so()) {
      if (!loop_.step()) return so();
    }
    return true;
  }

 protected:
  base::VirtualLoop loop_;
};

// Owns the transport that it puts no faults into.
class Faultless final : public Transport {
 public:
  Faultless(std::unique_ptr<Transport> inner, base::Loop& loop)
      : inner_(std::move(inner)), faulty_(*inner_, loop, Rng(1), {}) {}
  const peers::PeerId& self() const override { return faulty_.self(); }
  const peers::Endpoint& endpoint() const override { return faulty_.endpoint(); }
  peers::CallId call(const peers::CallSettings& settings, peers::Payload payload,
                     peers::CallEvents events) override {
    return faulty_.call(settings, std::move(payload), std::move(events));
  }
  void cancel(peers::CallId call) override { faulty_.cancel(call); }
  void serve(peers::Method method, peers::CallHandler handler) override {
    faulty_.serve(method, std::move(handler));
  }
  void stop() override { faulty_.stop(); }
  peers::TransportCounters counters() const override { return faulty_.counters(); }

 private:
  const std::unique_ptr<Transport> inner_;
  peers::FaultyTransport faulty_;
};

class FaultlessNet final : public VirtualNet {
 public:
  std::unique_ptr<Transport> add_peer() override {
    return std::make_unique<Faultless>(VirtualNet::add_peer(), loop_);
  }
};

class GrpcNet final : public TransportNet {
 public:
  std::unique_ptr<Transport> add_peer() override {
    auto peer = peers::GrpcTransport::start(Identity::generate(),
                                            {.listen = {"127.0.0.1", 0}, .swarm_key = {}, .limits = {}});
    EXPECT_TRUE(peer.ok()) << peer.status();
    return *std::move(peer);
  }
  const Clock& clock() const override { return clock_; }
  bool has_threads() const override { return true; }
  bool await(const std::function<bool()>& so) override { return await_in_real_time(so); }

 private:
  RealClock clock_;
};

template <class Net>
std::unique_ptr<TransportNet> make() {
  return std::make_unique<Net>();
}

INSTANTIATE_TEST_SUITE_P(Transports, TransportSuite,
                         testing::Values(TransportUnderTest{"loopback", make<VirtualNet>},
                                         TransportUnderTest{"loopback_threads", make<ThreadedNet>},
                                         TransportUnderTest{"faultless", make<FaultlessNet>},
                                         TransportUnderTest{"grpc", make<GrpcNet>}),
                         name_of);

}  // namespace
}  // namespace agora::tests
