// How many calls of each caller wait for a loop that serves them all, one after the other.
//
//   if (!waiting.enter(caller)) ...answer that it asks too often;
//   loop.post([&] { waiting.leave(caller); ... });
//
// Any thread.
#pragma once

#include <map>

#include "agora/base/mutex.h"
#include "agora/peers/peer_id.h"

namespace agora::peers {

class WaitingCalls {
 public:
  explicit WaitingCalls(int per_caller_max) : per_caller_max_(per_caller_max) {}

  bool enter(const PeerId& caller) {
    base::MutexLock lock(mutex_);
    int& count = counts_[caller];
    if (count >= per_caller_max_) return false;
    ++count;
    return true;
  }
  void leave(const PeerId& caller) {
    base::MutexLock lock(mutex_);
    if (--counts_[caller] == 0) counts_.erase(caller);
  }

 private:
  const int per_caller_max_;
  base::Mutex mutex_;
  std::map<PeerId, int> counts_ ABSL_GUARDED_BY(mutex_);  // above 0
};

}  // namespace agora::peers
