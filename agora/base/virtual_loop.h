// A Loop whose time jumps from task to task: tests and the simulator step it.
//
//   VirtualLoop loop;   loop.after(kSecondNs, task);   loop.run_for(10 * kSecondNs);   // at once
//
// One thread.
#pragma once

#include <deque>
#include <utility>

#include "agora/base/loop.h"
#include "agora/base/timers.h"

namespace agora::base {

class VirtualLoop final : public Loop {
 public:
  int64_t now_ns() const override { return now_ns_; }
  void post(Task task) override { timers_.add(now_ns_, std::move(task)); }
  TimerId at(int64_t when_ns, Task task) override {
    return timers_.add(when_ns < now_ns_ ? now_ns_ : when_ns, std::move(task));
  }
  void cancel(TimerId timer) override { timers_.cancel(timer); }

  // Runs the next task, its time becoming now. False: there is none.
  bool step() {
    if (timers_.empty()) return false;
    now_ns_ = timers_.next_ns();
    timers_.take()();
    return true;
  }

  // Runs everything that is due until `end_ns`, which is then the time.
  void run_until(int64_t end_ns) {
    while (timers_.due(end_ns)) step();
    now_ns_ = end_ns;
  }
  void run_for(int64_t duration_ns) { run_until(now_ns_ + duration_ns); }

 private:
  int64_t now_ns_ = 0;
  Timers timers_;
};

}  // namespace agora::base
