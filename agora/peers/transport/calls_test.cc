#include "agora/peers/transport/calls.h"

#include <algorithm>
#include <utility>

#include "agora/base/timers.h"
#include <gtest/gtest.h>

namespace agora::peers {
namespace {

using base::kMillisecondNs;
using base::kSecondNs;

// A VirtualLoop whose timers can be counted.
class CountedLoop final : public base::Loop {
 public:
  int64_t now_ns() const override { return now_ns_; }
  void post(Task task) override { timers_.add(now_ns_, std::move(task)); }
  base::TimerId at(int64_t when_ns, Task task) override {
    return timers_.add(std::max(when_ns, now_ns_), std::move(task));
  }
  void cancel(base::TimerId timer) override { timers_.cancel(timer); }

  void run_until(int64_t end_ns) {
    while (timers_.due(end_ns)) {
      now_ns_ = timers_.next_ns();
      timers_.take()();
    }
    now_ns_ = end_ns;
  }
  size_t timers() const { return timers_.size(); }

 private:
  int64_t now_ns_ = 0;
  base::Timers timers_;
};

TEST(Calls, OneTimerIsEnoughForAllDeadlines) {
  CountedLoop loop;
  const auto calls = std::make_shared<Calls>(loop);
  int late = 0;
  const auto add = [&](int64_t deadline_ns) {
    CallEvents events{.done = [&](Reply reply) { late += absl::IsDeadlineExceeded(reply.status) ? 1 : 0; },
                      .part = {}};
    return calls->add(deadline_ns, events, nullptr);
  };
  add(10 * kSecondNs);
  for (int64_t now_ns = 0; now_ns < 10 * kSecondNs; now_ns += 20 * kMillisecondNs) {
    loop.run_until(now_ns);
    calls->end(add(now_ns + 500 * kMillisecondNs), {});
    EXPECT_EQ(loop.timers(), 1u) << now_ns;
  }
  EXPECT_EQ(late, 0);
  loop.run_until(10 * kSecondNs);
  EXPECT_EQ(late, 1);
  loop.run_until(20 * kSecondNs);
  EXPECT_EQ(loop.timers(), 0u);
}

}  // namespace
}  // namespace agora::peers
