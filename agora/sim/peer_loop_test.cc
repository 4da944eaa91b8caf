#include "agora/sim/peer_loop.h"

#include <gtest/gtest.h>

namespace agora::sim {
namespace {

using base::kMillisecondNs;
using base::kSecondNs;

class PeerLoopTest : public testing::Test {
 protected:
  std::shared_ptr<PeerLoop> make(const PeerClock& clock = {}) {
    return std::make_shared<PeerLoop>(world, fibers, clock);
  }
  base::VirtualLoop world;
  Fibers fibers;
};

TEST_F(PeerLoopTest, AClockRunsByItsOwnDrift) {
  const auto fast = make({.offset_ns = 7 * kSecondNs, .drift_ppm = 1000});
  const int64_t began_ns = fast->now_ns();
  int64_t fired_ns = 0;
  fast->after(10 * kSecondNs, [&] { fired_ns = world.now_ns(); });
  world.run_for(20 * kSecondNs);
  EXPECT_EQ(fast->now_ns() - began_ns, 20 * kSecondNs + 20 * kMillisecondNs);
  EXPECT_NEAR(static_cast<double>(fired_ns), 9.99001e9, 1e4);
}

TEST_F(PeerLoopTest, AJumpMakesTimersDue) {
  const auto loop = make();
  int fired = 0;
  loop->after(10 * kSecondNs, [&] { ++fired; });
  loop->jump(10 * kSecondNs);
  world.run_for(0);
  EXPECT_EQ(fired, 1);
}

TEST_F(PeerLoopTest, TheFrozenMissNothing) {
  const auto loop = make();
  std::vector<int64_t> fired;
  loop->after(kSecondNs, [&] { fired.push_back(world.now_ns()); });
  loop->freeze_until(5 * kSecondNs);
  world.run_for(2 * kSecondNs);
  loop->arrive([&] { fired.push_back(world.now_ns()); });
  EXPECT_TRUE(fired.empty());
  world.run_for(5 * kSecondNs);
  EXPECT_EQ(fired, (std::vector<int64_t>{5 * kSecondNs, 5 * kSecondNs}));
}

TEST_F(PeerLoopTest, WhatATaskSpendsDelaysNobodyElse) {
  const auto loop = make();
  int64_t left_ns = 0, other_ns = 0;
  loop->post([&] {
    loop->spend(kMillisecondNs);
    left_ns = loop->world_now_ns();
  });
  loop->post([&] { other_ns = loop->world_now_ns(); });
  world.run_for(0);
  EXPECT_EQ(left_ns, kMillisecondNs);
  EXPECT_EQ(other_ns, 0);
}

TEST_F(PeerLoopTest, ACallerWaitsUntilItIsWokenOrItsTimeComes) {
  const auto loop = make();
  base::Mutex mutex;
  const auto point = loop->wait_point();
  bool news = false;
  std::vector<int64_t> woken;
  loop->start_caller([&] {
    base::MutexLock lock(mutex);
    while (!news) point->wait(mutex);
    woken.push_back(loop->now_ns());
    const int64_t until_ns = loop->now_ns() + kSecondNs;
    while (loop->now_ns() < until_ns) point->wait_until(mutex, until_ns);
    woken.push_back(loop->now_ns());
  });
  loop->after(3 * kSecondNs, [&] {
    news = true;
    point->wake_all();
  });
  world.run_for(10 * kSecondNs);
  EXPECT_EQ(woken, (std::vector<int64_t>{3 * kSecondNs, 4 * kSecondNs}));
  EXPECT_EQ(loop->callers(), 0u);
}

TEST_F(PeerLoopTest, CallersRunTogether) {
  const auto loop = make();
  std::vector<int> order;
  loop->start_caller([&] {
    std::vector<base::Loop::Task> tasks;
    for (int i = 0; i < 3; ++i) {
      tasks.emplace_back([&, i] {
        base::Mutex mutex;
        const auto point = loop->wait_point();
        base::MutexLock lock(mutex);
        const int64_t until_ns = loop->now_ns() + (3 - i) * kSecondNs;
        while (loop->now_ns() < until_ns) point->wait_until(mutex, until_ns);
        order.push_back(i);
      });
    }
    loop->run_together(std::move(tasks));
    order.push_back(9);
  });
  world.run_for(10 * kSecondNs);
  EXPECT_EQ(order, (std::vector<int>{2, 1, 0, 9}));
}

TEST_F(PeerLoopTest, TheDeadSendTheirCallersHome) {
  const auto loop = make();
  base::Mutex mutex;
  const auto point = loop->wait_point();
  bool home = false, ran = false;
  loop->start_caller([&] {
    base::MutexLock lock(mutex);
    const int64_t until_ns = loop->now_ns() + 100 * kSecondNs;
    while (loop->now_ns() < until_ns) point->wait_until(mutex, until_ns);
    const int64_t more_ns = loop->now_ns() + 100 * kSecondNs;  // a wait that begins after its death
    while (loop->now_ns() < more_ns) point->wait_until(mutex, more_ns);
    home = loop->dead();
  });
  loop->after(2 * kSecondNs, [&] { ran = true; });
  world.run_for(kSecondNs);
  loop->kill();
  EXPECT_TRUE(home);
  EXPECT_EQ(fibers.alive(), 0u);
  world.run_for(10 * kSecondNs);
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace agora::sim
