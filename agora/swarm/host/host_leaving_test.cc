// What the simulator found about hosts that leave.
#include "agora/swarm/host/test_node.h"
#include <gmock/gmock.h>

namespace agora::swarm {
namespace {

class LeavingHost : public testing::Test {
 protected:
  // Three hosts that have shared the experts out.
  void settle(int32_t replicas) {
    SwarmSpec spec = test_spec();
    spec.replicas = replicas;
    for (int i = 1; i <= 3; ++i) {
      nodes.push_back(std::make_unique<TestNode>(loop, network, gossip, machine, spec, i, HostOptions{}));
      loop.run_for(350 * kMillisecondNs);  // so they publish one after the other
    }
    loop.run_for(60 * kSecondNs);
  }

  base::VirtualLoop loop;
  std::shared_ptr<peers::LoopbackNetwork> network = std::make_shared<peers::LoopbackNetwork>(loop);
  Gossip gossip{loop};
  moe::TestCompute machine{1};
  std::vector<std::unique_ptr<TestNode>> nodes;
};

// Seed 3 of the simulator's chaos: its timer came again and again, at once, for a minute.
TEST_F(LeavingHost, DoesNotSpinOnAClaimThatItWillNotMake) {
  constexpr int kTasksMax = 10'000;
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

// It left as soon as it had handed over: the third replica heard of that before it heard who leads now, and
// claimed too.
TEST_F(LeavingHost, IsSucceededWithoutDispute) {
  settle(/*replicas=*/3);
  const auto stepped_down = [&] {
    return nodes[1]->host->status().stepped_down + nodes[2]->host->status().stepped_down;
  };
  const uint64_t before = stepped_down();
  ASSERT_GT(nodes[0]->host->status().led, 0);
  bool done = false;
  nodes[0]->host->leave([&] { done = true; });
  while (!done) ASSERT_TRUE(loop.step());
  nodes[0]->directory.leave();
  nodes[0].reset();
  loop.run_for(5 * kSecondNs);
  EXPECT_EQ(stepped_down(), before);
}

// Seed 6381 of random scenarios: who led had died, the leaving host alone had the last weights, and left with
// them.
TEST_F(LeavingHost, HandsOverWhatOnlyItHas) {
  settle(/*replicas=*/2);
  const auto holds = [&](int node, ExpertName name) {
    return std::ranges::any_of(nodes[node]->store->holdings(),
                               [&](const Holding& h) { return h.name == name; });
  };
  std::vector<ExpertName> orphans;
  for (const Holding& held : nodes[1]->store->holdings()) {
    if (nodes[0]->leads(held.name) && !holds(2, held.name)) orphans.push_back(held.name);
  }
  ASSERT_FALSE(orphans.empty());
  nodes[0]->directory.expire(kToldAfterNs);
  nodes[0].reset();
  loop.run_for(200 * kMillisecondNs);  // all know it, and nobody has claimed yet
  bool done = false;
  nodes[1]->host->leave([&] { done = true; });
  while (!done) ASSERT_TRUE(loop.step());
  for (const ExpertName name : orphans) EXPECT_TRUE(nodes[2]->leads(name)) << name.expert.value;
}

}  // namespace
}  // namespace agora::swarm
