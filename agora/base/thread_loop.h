// A Loop on a thread of its own, in real time.
//
//   ThreadLoop loop("agora-peer");   loop.post(...);   // until it is destroyed
//
// stop() (and the destructor) runs what was posted before, drops timers, and joins. Any thread; stop() not
// from a task.
#pragma once

#include <string>
#include <thread>

#include "agora/base/loop.h"
#include "agora/base/mutex.h"
#include "agora/base/turns.h"

namespace agora::base {

class ThreadLoop final : public Loop {
 public:
  explicit ThreadLoop(const std::string& name);  // of the thread, at most 15 characters
  ~ThreadLoop() override;

  int64_t now_ns() const override { return clock_.now_ns(); }
  void post(Task task) override;
  TimerId at(int64_t when_ns, Task task) override;
  void cancel(TimerId timer) override;
  void stop();  // what is posted from now on never runs

 private:
  void run();

  RealClock clock_;
  Mutex mutex_;
  Condition changed_;
  Turns turns_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace agora::base
