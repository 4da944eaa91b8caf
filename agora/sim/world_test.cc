#include "agora/sim/world.h"

#include <gtest/gtest.h>

namespace agora::sim {
namespace {

struct Count final : History {
  void on_answer(const AnswerFact& fact) override {
    ++(fact.status.ok() ? answered : failed);
    mass += fact.mass;
    lost += fact.mass_lost;
  }
  void on_update(const UpdateFact& fact) override { taken += fact.taken ? 1 : 0; }
  void on_role(const RoleFact& fact) override { led += fact.kind == RoleFact::Kind::led ? 1 : 0; }
  int answered = 0, failed = 0, taken = 0, led = 0;
  double mass = 0, lost = 0;
};

TEST(World, HostsAdoptLeadAndAnswerGates) {
  Count count;
  World world({.seed = 3, .spec = small_spec(2, 8, 2)}, count);
  for (int i = 0; i < 5; ++i) world.add_host({}).start();
  for (int i = 0; i < 2; ++i) world.add_gate({}).start();
  world.run_for(30 * kSecondNs);
  EXPECT_GE(count.led, 16);  // and hand-overs, so that leading is spread
  const int answered = count.answered;
  EXPECT_GT(answered, 100);
  count.failed = 0;
  count.lost = 0;
  world.run_for(30 * kSecondNs);
  EXPECT_GT(count.answered, answered + 100);
  EXPECT_EQ(count.failed, 0);
  EXPECT_EQ(count.lost, 0);
  EXPECT_GT(count.taken, 100);
  EXPECT_TRUE(world.stop_gates(20 * kSecondNs));
}

// A busy host's thread is in the middle of a matrix: a small call waits in its queue like any other.
TEST(World, AHostIsNotFasterForSmallCalls) {
  History silent;
  World world({.seed = 3, .spec = small_spec(1, 4, 1)}, silent);
  HostSettings slow{.times = {.row_ns = 5 * kMillisecondNs}};
  slow.service.queue.calls_max = 32;
  Peer& host = world.add_host(slow);
  host.start();
  world.run_for(15 * kSecondNs);
  world.add_gate({.callers = 100, .rows = 2, .training_ppm = 0, .deadline_ns = 2 * kSecondNs}).start();
  world.run_for(10 * kSecondNs);
  const swarm::HostCounters counters = host.host()->service().counters();
  EXPECT_GT(counters.queue_full, 0u);
  EXPECT_GT(host.host()->service().load_us(), 100'000u);
  EXPECT_LE(host.host()->compute().busy_ns(), 11 * kSecondNs);
  EXPECT_TRUE(world.stop_gates(20 * kSecondNs));
}

// A hand-over takes time, in which the same is asked again.
TEST(World, APeerLeavesOnce) {
  struct SlowRole final : PeerRole {
    explicit SlowRole(int& asked) : asked_(asked) {}
    void describe(swarm::PeerState&) const override {}
    void leave(std::function<void()>) override { ++asked_; }
    int& asked_;
  };
  History silent;
  World world({.spec = small_spec(1, 4, 1)}, silent);
  int asked = 0;
  Peer& peer = world.add_peer([&](Process&) { return std::make_unique<SlowRole>(asked); });
  peer.start();
  for (int i = 0; i < 2; ++i) {
    peer.leave();
    world.run_for(kSecondNs);
  }
  EXPECT_EQ(asked, 1);
}

}  // namespace
}  // namespace agora::sim
