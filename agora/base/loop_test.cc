#include "agora/base/loop.h"

#include <atomic>
#include <memory>
#include <vector>

#include "agora/base/thread_loop.h"
#include "agora/base/virtual_loop.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agora::base {
namespace {

using testing::ElementsAre;

TEST(VirtualLoop, RunsByTimeThenByOrder) {
  VirtualLoop loop;
  std::vector<int> ran;
  loop.at(20, [&] { ran.push_back(3); });
  loop.at(10, [&] { ran.push_back(1); });
  loop.at(10, [&] { ran.push_back(2); });
  loop.post([&] { ran.push_back(0); });
  loop.run_until(15);
  EXPECT_THAT(ran, ElementsAre(0, 1, 2));
  EXPECT_EQ(loop.now_ns(), 15);
  loop.run_for(5);
  EXPECT_THAT(ran, ElementsAre(0, 1, 2, 3));
}

TEST(VirtualLoop, CancelledTimersDoNotRun) {
  VirtualLoop loop;
  int ran = 0;
  const TimerId cancelled = loop.after(5, [&] { ran += 1; });
  const TimerId past = loop.after(1, [&] { ran += 10; });
  loop.run_until(2);
  loop.cancel(cancelled);
  loop.cancel(past);
  loop.cancel(TimerId{});
  loop.run_until(100);
  EXPECT_EQ(ran, 10);
}

TEST(VirtualLoop, TasksMayPostTasks) {
  VirtualLoop loop;
  int depth = 0;
  std::function<void()> again = [&] {
    if (++depth < 1000) loop.post(again);
  };
  loop.post(again);
  loop.run_until(0);
  EXPECT_EQ(depth, 1000);
}

TEST(ThreadLoop, RunsWhatWasPostedInOrderBeforeItStops) {
  std::vector<int> ran;
  {
    ThreadLoop loop("test");
    for (int i = 0; i < 100; ++i) loop.post([&ran, i] { ran.push_back(i); });
  }
  ASSERT_EQ(ran.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(ran[i], i);
}

TEST(ThreadLoop, TimersRunInOrderOfTime) {
  ThreadLoop loop("test");
  std::atomic<int> order{0}, first{0}, second{0};
  const int64_t now = loop.now_ns();
  loop.at(now + 2 * kMillisecondNs, [&] { second = ++order; });
  loop.at(now + kMillisecondNs, [&] { first = ++order; });
  while (second == 0) std::this_thread::yield();
  EXPECT_EQ(first, 1);
  EXPECT_EQ(second, 2);
}

TEST(ThreadLoop, StopDropsTimers) {
  std::atomic<bool> ran{false};
  {
    ThreadLoop loop("test");
    loop.after(3600 * kSecondNs, [&] { ran = true; });
  }
  EXPECT_FALSE(ran);
}

TEST(ThreadLoop, WhatATimerHeldMayUseTheLoopWhenItGoes) {
  ThreadLoop loop("test");
  const auto timer = [&loop] {
    const std::shared_ptr<void> held(nullptr, [&loop](void*) { loop.post([] {}); });
    return loop.after(3600 * kSecondNs, [held] {});
  };
  loop.cancel(timer());
  timer();
  loop.stop();
}

}  // namespace
}  // namespace agora::base
