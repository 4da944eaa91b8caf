// Callers that take breaks, and end when they are told to.
//
//   UntilStopped until_stopped(loop);
//   while (until_stopped.rest(kSecondNs)) ask();     // who works; false: stopped
//   until_stopped.stop();                            // who ends it: whoever rests wakes, nobody rests again
//
// Any thread, but those on which the loop itself runs must not rest.
#pragma once

#include <memory>

#include "agora/base/loop.h"

namespace agora::base {

class UntilStopped {
 public:
  explicit UntilStopped(Loop& loop) : loop_(loop), stopped_or_later_(loop.wait_point()) {}

  bool rest(int64_t ns) {
    MutexLock lock(mutex_);
    const int64_t until_ns = loop_.now_ns() + ns;
    while (!stopped_ && loop_.now_ns() < until_ns) stopped_or_later_->wait_until(mutex_, until_ns);
    return !stopped_;
  }
  bool stopped() const {
    MutexLock lock(mutex_);
    return stopped_;
  }
  void stop() {
    MutexLock lock(mutex_);
    stopped_ = true;
    stopped_or_later_->wake_all();
  }

 private:
  Loop& loop_;
  const std::unique_ptr<WaitPoint> stopped_or_later_;
  mutable Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace agora::base
