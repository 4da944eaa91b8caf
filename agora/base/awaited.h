// An answer that another thread brings.
//
//   Awaited<Reply> reply;
//   transport.call(settings, payload, [&](Reply came) { reply.bring(std::move(came)); });
//   use(reply.wait());
//
// bring() and wait() once each, from any threads; wait() not on the loop that brings. It may be destroyed as
// soon as wait() has returned.
#pragma once

#include <optional>
#include <utility>

#include "agora/base/mutex.h"

namespace agora::base {

template <class T>
class Awaited {
 public:
  void bring(T value) {
    MutexLock lock(mutex_);
    value_.emplace(std::move(value));
    came_.wake_all();  // under the lock: who waited may destroy this at once
  }
  T wait() {
    MutexLock lock(mutex_);
    while (!value_) came_.wait(mutex_);
    return *std::move(value_);
  }

 private:
  Mutex mutex_;
  Condition came_;
  std::optional<T> value_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace agora::base
