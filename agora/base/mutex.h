// The standard mutex, annotated so that clang's thread-safety check proves what is guarded by what.
//
//   Mutex mutex;   int count ABSL_GUARDED_BY(mutex) = 0;   Condition changed;
//   MutexLock lock(mutex);   while (count == 0) changed.wait(mutex);
//
// Not absl::Mutex: Debian's abseil is built without ThreadSanitizer, which then can not see that its locks
// order anything and reports races that are none. Any thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "absl/base/thread_annotations.h"
#include "agora/base/clock.h"

namespace agora::base {

class ABSL_LOCKABLE Mutex {
 public:
  void lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }

 private:
  friend class Condition;
  std::mutex mutex_;
};

class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

class Condition {
 public:
  // Lets go of the mutex while it sleeps; may wake without a reason.
  void wait(Mutex& mutex) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::unique_lock<std::mutex> held(mutex.mutex_, std::adopt_lock);
    changed_.wait(held);
    held.release();
  }
  // Also when RealClock says deadline_ns; INT64_MAX: never by itself. The system's wait does not count the
  // time that the machine sleeps, so it is looked at again now and then.
  void wait_until(Mutex& mutex, int64_t deadline_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (deadline_ns == INT64_MAX) return wait(mutex);
    constexpr int64_t kWaitNsMax = 10'000'000'000;
    const int64_t now_ns = RealClock().now_ns();
    const int64_t left_ns = deadline_ns <= now_ns ? 0 : std::min(deadline_ns - now_ns, kWaitNsMax);
    std::unique_lock<std::mutex> held(mutex.mutex_, std::adopt_lock);
    changed_.wait_for(held, std::chrono::nanoseconds(left_ns));
    held.release();
  }
  void wake_all() { changed_.notify_all(); }

 private:
  std::condition_variable changed_;
};

}  // namespace agora::base
