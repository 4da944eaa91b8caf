// What the simulator found about hosts that leave.
#include "agora/swarm/host/host_messages.h"
#include "agora/swarm/host/test_node.h"
#include "agora/swarm/wire/method.h"
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
  bool holds(int node, ExpertName name) const {
    return std::ranges::any_of(nodes[node]->store->holdings(),
                               [&](const Holding& h) { return h.name == name; });
  }
  // What `leader` leads and of the three only `follower` holds besides.
  std::vector<ExpertName> only_with(int leader, int follower) const {
    std::vector<ExpertName> names;
    for (const Holding& held : nodes[follower]->store->holdings()) {
      if (nodes[leader]->leads(held.name) && !holds(3 - leader - follower, held.name))
        names.push_back(held.name);
    }
    return names;
  }
  // Both at once; how long until the last has gone.
  int64_t leave_together(int a, int b) {
    int left = 0;
    const int64_t begin_ns = loop.now_ns();
    for (const int node : {a, b}) {
      nodes[node]->host->leave([&, node] {
        ++left;
        nodes[node]->directory.leave();
      });
    }
    while (left < 2) AGORA_CHECK(loop.step());
    return loop.now_ns() - begin_ns;
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
  const std::vector<ExpertName> orphans = only_with(0, 1);
  ASSERT_FALSE(orphans.empty());
  nodes[0]->directory.expire(kToldAfterNs);
  nodes[0].reset();
  loop.run_for(200 * kMillisecondNs);  // all know it, and nobody has claimed yet
  bool done = false;
  nodes[1]->host->leave([&] { done = true; });
  while (!done) ASSERT_TRUE(loop.step());
  for (const ExpertName name : orphans) EXPECT_TRUE(nodes[2]->leads(name)) << name.expert.value;
}

// Each wanted the other, which follows, to lead in its place, for a minute; then both went, and the third
// began anew what they alone had.
TEST_F(LeavingHost, AsksAThirdWhereItsFollowerLeavesToo) {
  settle(/*replicas=*/2);
  int a = 0, b = 1;
  if (only_with(a, b).empty() || only_with(b, a).empty()) b = 2;
  std::vector<ExpertName> orphans = only_with(a, b), others = only_with(b, a);
  ASSERT_FALSE(orphans.empty() || others.empty());
  orphans.insert(orphans.end(), others.begin(), others.end());
  EXPECT_LT(leave_together(a, b), 10 * kSecondNs);
  for (const ExpertName name : orphans) EXPECT_TRUE(nodes[3 - a - b]->leads(name)) << name.expert.value;
}

TEST_F(LeavingHost, DoesNotWaitForTheLastOtherThatLeavesToo) {
  settle(/*replicas=*/2);
  bool done = false;
  nodes[2]->host->leave([&] { done = true; });
  while (!done) ASSERT_TRUE(loop.step());
  nodes[2]->directory.leave();
  nodes.pop_back();
  loop.run_for(20 * kSecondNs);
  EXPECT_LT(leave_together(0, 1), 10 * kSecondNs);
}

TEST_F(LeavingHost, TakesWhatIsRetiredWithIt) {
  settle(/*replicas=*/2);
  const ExpertName name = only_with(0, 1).at(0);
  nodes[1]->transport->call({.to = nodes[0]->transport->self(),
                             .at = nodes[0]->transport->endpoint(),
                             .method = kRetireExpert,
                             .deadline_ns = loop.now_ns() + kSecondNs},
                            encode_expert(name), [](const peers::Reply&) {});
  loop.run_for(3 * kSecondNs);  // all have heard, and still answer
  ASSERT_TRUE(nodes[0]->leads(name));
  const int64_t begin_ns = loop.now_ns();
  bool done = false;
  nodes[0]->host->leave([&] { done = true; });
  while (!done) ASSERT_TRUE(loop.step());
  EXPECT_LT(loop.now_ns() - begin_ns, 10 * kSecondNs) << "nobody takes it over";
}

}  // namespace
}  // namespace agora::swarm
