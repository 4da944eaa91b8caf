#include "agora/sim/network.h"

#include <gtest/gtest.h>

namespace agora::sim {
namespace {

class NetworkTest : public testing::Test {
 protected:
  Fate send(size_t bytes = 100, MessageKind kind = MessageKind::request) {
    return network.send(a, b, bytes, world.now_ns(), kind);
  }
  base::VirtualLoop world;
  Network network{world, Rng(3), Latency::home()};
  const Place a = network.add_place(), b = network.add_place(), c = network.add_place();
};

TEST_F(NetworkTest, MessagesKeepTheirOrderAndTakeTheirTime) {
  int64_t last_ns = 0;
  for (int i = 0; i < 1000; ++i) {
    const Fate fate = send();
    ASSERT_EQ(fate.copies, 1);
    EXPECT_GE(fate.at_ns[0], network.mean_latency_ns(a, b));
    EXPECT_GE(fate.at_ns[0], last_ns);
    last_ns = fate.at_ns[0];
  }
  EXPECT_EQ(network.mean_latency_ns(a, b), network.mean_latency_ns(b, a));
  EXPECT_EQ(network.traffic(a).bytes_sent, 100'000u);
  EXPECT_EQ(network.traffic(b).bytes_received, 100'000u);
}

TEST_F(NetworkTest, FaultsComeAsOftenAsTheyAreSet) {
  network.faults = {.loss_ppm = 200'000, .duplicate_ppm = 100'000, .replay_ppm = 50'000};
  int lost = 0, more = 0;
  constexpr int kMessages = 20'000;
  for (int i = 0; i < kMessages; ++i) {
    const Fate fate = send();
    lost += fate.copies == 0 ? 1 : 0;
    more += std::max(0, fate.copies - 1);
  }
  EXPECT_NEAR(lost, 0.2 * kMessages, 0.02 * kMessages);
  EXPECT_NEAR(more, 0.8 * 0.15 * kMessages, 0.02 * kMessages);
}

TEST_F(NetworkTest, AReorderedMessageIsOvertaken) {
  network.faults.reorder_ppm = 300'000;
  int overtaken = 0;
  int64_t latest_ns = 0;
  for (int i = 0; i < 1000; ++i) {
    const Fate fate = send();
    overtaken += fate.at_ns[0] < latest_ns ? 1 : 0;
    latest_ns = std::max(latest_ns, fate.at_ns[0]);
  }
  EXPECT_GT(overtaken, 100);
}

TEST_F(NetworkTest, CutsAreSymmetricOneWayOrFlapping) {
  const uint64_t both = network.cut({.from = {a}, .to = {}});
  EXPECT_TRUE(network.is_cut(a, b) && network.is_cut(b, a) && !network.is_cut(b, c));
  EXPECT_TRUE(send().cut);
  network.mend(both);
  EXPECT_FALSE(send().cut);
  network.cut({.from = {a}, .to = {b}, .one_way = true});
  EXPECT_TRUE(network.is_cut(a, b) && !network.is_cut(b, a) && !network.is_cut(a, c));
  network.mend_all();
  network.cut({.from = {a}, .to = {b}, .flap_ns = kSecondNs});
  EXPECT_TRUE(network.is_cut(a, b));
  world.run_for(kSecondNs);
  EXPECT_FALSE(network.is_cut(a, b));
  world.run_for(kSecondNs);
  EXPECT_TRUE(network.is_cut(b, a));
}

TEST_F(NetworkTest, ACloggedLineMakesAllWait) {
  network.set_uplink(a, 1000);
  send(2000);
  EXPECT_GE(send(1000).at_ns[0], 3 * kSecondNs);
  EXPECT_LT(network.send(c, b, 1000, 0, MessageKind::request).at_ns[0], kSecondNs);
}

}  // namespace
}  // namespace agora::sim
