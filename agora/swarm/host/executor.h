// Whose turn it is to touch what a host holds: everything goes through here, one piece of work at a time.
//
//   ThreadLoop compute("compute");   Executor executor(compute);
//   executor.post([&] { held.step_what_is_due(now); });      // on the loop, in order
//   bool ran = executor.try_here([&] { ... });               // on this thread, if nobody works or waits
//
// A thread that has a small piece of work in hand and finds the host idle does it at once instead of waking
// the loop's thread, which costs more than one row of an expert. In production the loop is a ThreadLoop of
// its own, in the simulator the simulator's loop. The loop outlives the executor, the executor what was
// posted. Any thread.
#pragma once

#include <atomic>
#include <utility>

#include "absl/functional/function_ref.h"
#include "agora/base/loop.h"
#include "agora/base/mutex.h"

namespace agora::swarm {

class Executor {
 public:
  explicit Executor(base::Loop& loop) : loop_(loop) {}
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  base::Loop& loop() { return loop_; }

  void post(base::Loop::Task task) {
    pending_.fetch_add(1, std::memory_order_acq_rel);
    loop_.post([this, task = std::move(task)] {
      {
        base::MutexLock turn(turn_);
        task();
      }
      pending_.fetch_sub(1, std::memory_order_acq_rel);
    });
  }

  // Returns when what runs now has ended. Not from a task.
  void wait_for_turn() { base::MutexLock turn(turn_); }

  bool try_here(absl::FunctionRef<void()> task) {
    int none = 0;
    if (!pending_.compare_exchange_strong(none, 1, std::memory_order_acq_rel)) return false;
    {
      base::MutexLock turn(turn_);
      task();
    }
    pending_.fetch_sub(1, std::memory_order_acq_rel);
    return true;
  }

 private:
  base::Loop& loop_;
  std::atomic<int> pending_ = 0;  // posted, or running
  base::Mutex turn_;              // held over a task: that is what it is for
};

}  // namespace agora::swarm
