// What the simulator found about hosts that leave.
#include "agora/swarm/host/test_node.h"
#include <gmock/gmock.h>

namespace agora::swarm {
namespace {

// Seed 3 of the simulator's chaos: its timer came again and again, at once, for a minute.
TEST(LeavingHost, DoesNotSpinOnAClaimThatItWillNotMake) {
  constexpr int kTasksMax = 10'000;
  base::VirtualLoop loop;
  auto network = std::make_shared<peers::LoopbackNetwork>(loop);
  Gossip gossip(loop);
  moe::TestCompute machine{1};
  TestNode node(loop, network, gossip, machine, test_spec(), 1, {});
  while (node.store->holdings().empty()) ASSERT_TRUE(loop.step());
  loop.run_for(200 * kMillisecondNs);  // it holds them and is about to claim that it leads
  ASSERT_FALSE(node.leads(expert_name(0, 0)));
  node.host->leave([] {});
  int tasks = 0;
  for (const int64_t end_ns = loop.now_ns() + 2 * kSecondNs; loop.now_ns() < end_ns && tasks < kTasksMax;) {
    ASSERT_TRUE(loop.step());
    ++tasks;
  }
  EXPECT_LT(tasks, kTasksMax);
}

}  // namespace
}  // namespace agora::swarm
