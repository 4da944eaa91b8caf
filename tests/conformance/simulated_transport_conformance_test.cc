// The simulator's transport through the suite of what every transport must do, on peers' clocks of their own.
#include "agora/peers/identity/identity.h"
#include "agora/sim/transport.h"

#include "tests/conformance/transport_suite.h"

namespace agora::tests {
namespace {

class SimulatedNet final : public TransportNet {
 public:
  explicit SimulatedNet(const sim::Latency& latency)
      : network_(world_, Rng(5), latency),
        switchboard_(std::make_shared<sim::Switchboard>(world_, network_)) {}

  std::unique_ptr<peers::Transport> add_peer() override {
    const uint16_t port = ++last_port_;
    auto loop = std::make_shared<sim::PeerLoop>(world_, fibers_, sim::PeerClock{});
    return std::make_unique<sim::SimTransport>(switchboard_, std::move(loop),
                                               peers::Identity::from_seed(port).id(),
                                               peers::Endpoint{"sim", port}, network_.add_place());
  }
  const Clock& clock() const override { return world_; }
  bool has_threads() const override { return false; }
  bool await(const std::function<bool()>& so) override {
    while (!so()) {
      if (!world_.step()) return so();
    }
    return true;
  }

 private:
  base::VirtualLoop world_;
  sim::Fibers fibers_;
  sim::Network network_;
  const std::shared_ptr<sim::Switchboard> switchboard_;
  uint16_t last_port_ = 0;
};

std::unique_ptr<TransportNet> lan() { return std::make_unique<SimulatedNet>(sim::Latency::lan()); }
std::unique_ptr<TransportNet> home() { return std::make_unique<SimulatedNet>(sim::Latency::home()); }

INSTANTIATE_TEST_SUITE_P(Simulated, TransportSuite,
                         testing::Values(TransportUnderTest{"lan", lan}, TransportUnderTest{"home", home}),
                         name_of);

}  // namespace
}  // namespace agora::tests
