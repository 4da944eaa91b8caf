#include "agora/sim/transport.h"

#include "agora/peers/directory/simulated_records.h"
#include <gtest/gtest.h>

namespace agora::sim {
namespace {

// A caller, and a host that holds the call without an answer.
class SimTransportTest : public testing::Test {
 protected:
  SimTransportTest() {
    host.serve(kMethod, [this](std::shared_ptr<peers::IncomingCall> call) { held = std::move(call); });
    caller.call({.to = host.self(), .at = host.endpoint(), .method = kMethod, .deadline_ns = 60 * kSecondNs},
                {}, [](const peers::Reply&) {});
    world.run_for(kSecondNs);
  }
  ~SimTransportTest() override { held.reset(); }

  std::unique_ptr<SimTransport> make(uint16_t number) {
    return std::make_unique<SimTransport>(switchboard, std::make_shared<PeerLoop>(world, fibers, PeerClock{}),
                                          peers::peer_id_of(peers::SimulatedSigner(number).public_key()),
                                          peers::Endpoint{"sim", number}, network.add_place());
  }

  static constexpr peers::Method kMethod{20};
  base::VirtualLoop world;
  Fibers fibers;
  Network network{world, Rng(5), Latency::lan()};
  const std::shared_ptr<Switchboard> switchboard = std::make_shared<Switchboard>(world, network);
  const std::unique_ptr<SimTransport> callers_end = make(1), hosts_end = make(2);
  SimTransport &caller = *callers_end, &host = *hosts_end;
  std::shared_ptr<peers::IncomingCall> held;
};

TEST_F(SimTransportTest, AProcessThatIsKilledIsNoticedAtOnce) {
  ASSERT_NE(held, nullptr);
  EXPECT_FALSE(held->abandoned());
  caller.crash(Death::refused);
  world.run_for(2 * kMillisecondNs);
  EXPECT_TRUE(held->abandoned());
}

TEST_F(SimTransportTest, AMachineThatGoesTellsNobody) {
  ASSERT_NE(held, nullptr);
  const uint64_t sent = network.counters().messages;
  caller.crash(Death::silent);
  EXPECT_EQ(network.counters().messages, sent);
  world.run_for(kSilenceNs - kMillisecondNs);
  EXPECT_FALSE(held->abandoned());
  world.run_for(2 * kMillisecondNs);
  EXPECT_TRUE(held->abandoned());
}

}  // namespace
}  // namespace agora::sim
