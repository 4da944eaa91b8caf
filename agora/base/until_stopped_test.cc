#include "agora/base/until_stopped.h"

#include <thread>

#include "agora/base/thread_loop.h"
#include <gtest/gtest.h>

namespace agora::base {
namespace {

constexpr int64_t kVeryLongNs = 3600 * kSecondNs;

TEST(UntilStopped, RestsForItsTime) {
  ThreadLoop loop("test-loop");
  UntilStopped until_stopped(loop);
  const int64_t begin_ns = loop.now_ns();
  EXPECT_TRUE(until_stopped.rest(2 * kMillisecondNs));
  EXPECT_GE(loop.now_ns() - begin_ns, 2 * kMillisecondNs);
  EXPECT_FALSE(until_stopped.stopped());
}

TEST(UntilStopped, WhoRestsIsWokenAndNobodyRestsAgain) {
  ThreadLoop loop("test-loop");
  UntilStopped until_stopped(loop);
  bool rested = true;
  std::thread resting([&] { rested = until_stopped.rest(kVeryLongNs); });
  until_stopped.stop();
  resting.join();
  EXPECT_FALSE(rested);
  EXPECT_FALSE(until_stopped.rest(kVeryLongNs));
  EXPECT_TRUE(until_stopped.stopped());
}

}  // namespace
}  // namespace agora::base
