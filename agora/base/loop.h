// Where protocol logic runs: one task after the other, and timers; time is the loop's.
//
//   loop.post([&] { view.on_record(record, loop.now_ns()); });
//   TimerId timer = loop.at(loop.now_ns() + 5 * kSecondNs, [&] { refresh(); });   loop.cancel(timer);
//
// ThreadLoop runs on a thread of its own in real time; VirtualLoop where it is stepped, in a time that jumps
// from task to task. Code that only knows Loop runs in both. Any thread may post, set and cancel timers.
//
// Callers beside the loop may wait for what it brings (wait_point.h), and may be several (run_together()).
// The loop's own tasks never wait.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "agora/base/clock.h"
#include "agora/base/wait_point.h"

namespace agora::base {

constexpr int64_t kMicrosecondNs = 1'000;
constexpr int64_t kMillisecondNs = 1'000'000;
constexpr int64_t kSecondNs = 1'000'000'000;

struct TimerId {
  uint64_t value = 0;  // 0: none
  friend auto operator<=>(TimerId, TimerId) = default;
};

class Loop : public Clock {
 public:
  using Task = std::function<void()>;

  // Tasks run in the order in which they were posted, never inside post().
  virtual void post(Task task) = 0;
  // Not before when_ns of this loop's clock; timers of one time run in the order in which they were set.
  virtual TimerId at(int64_t when_ns, Task task) = 0;
  // After cancel() on the loop itself the task does not run; from another thread it may be running. Unknown
  // and past timers: nothing happens.
  virtual void cancel(TimerId timer) = 0;

  TimerId after(int64_t delay_ns, Task task) { return at(now_ns() + delay_ns, std::move(task)); }

  // For a caller beside the loop; its times are the loop's.
  virtual std::unique_ptr<WaitPoint> wait_point() { return std::make_unique<ThreadWaitPoint>(); }
  // Runs the tasks at the same time, each where it may wait: on a thread of its own. Returns when all ended.
  virtual void run_together(std::vector<Task> tasks);
};

}  // namespace agora::base
