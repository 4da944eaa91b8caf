// Counts who is inside, so that a closing transport can wait until its handlers have returned.
//
//   if (!gate.enter()) return;   handler(call);   gate.leave();
//   // close(): no one enters, all have left
//
// Any thread; close() not from inside.
#pragma once

#include "agora/base/mutex.h"

namespace agora::peers {

class Gate {
 public:
  bool enter() {
    base::MutexLock lock(mutex_);
    if (closed_) return false;
    ++inside_;
    return true;
  }
  void leave() {
    base::MutexLock lock(mutex_);
    if (--inside_ == 0 && closed_) empty_.wake_all();
  }
  void close() {
    base::MutexLock lock(mutex_);
    closed_ = true;
    while (inside_ > 0) empty_.wait(mutex_);
  }

 private:
  base::Mutex mutex_;
  base::Condition empty_;
  int inside_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace agora::peers
