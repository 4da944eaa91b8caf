// Where a caller stands still until another has news for it, or until a time of its loop's clock.
//
//   const std::unique_ptr<WaitPoint> came = loop.wait_point();
//   MutexLock lock(mutex);   while (letters.empty()) came->wait_until(mutex, deadline_ns);   // who waits
//   MutexLock lock(mutex);   letters.push_back(letter);   came->wake_all();                  // who brings
//
// Callers are threads, and this is a condition variable on real time (ThreadWaitPoint); in the simulator they
// are fibers of one thread, and time is virtual. A loop makes the kind that goes with its time (loop.h). Any
// thread.
#pragma once

#include <cstdint>

#include "agora/base/mutex.h"

namespace agora::base {

class WaitPoint {
 public:
  virtual ~WaitPoint() = default;
  // Lets go of the mutex meanwhile. May wake without a reason. INT64_MAX: never by itself.
  virtual void wait_until(Mutex& mutex, int64_t deadline_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) = 0;
  virtual void wake_all() = 0;

  void wait(Mutex& mutex) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) { wait_until(mutex, INT64_MAX); }
};

class ThreadWaitPoint final : public WaitPoint {
 public:
  void wait_until(Mutex& mutex, int64_t deadline_ns) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    changed_.wait_until(mutex, deadline_ns);
  }
  void wake_all() override { changed_.wake_all(); }

 private:
  Condition changed_;
};

}  // namespace agora::base
