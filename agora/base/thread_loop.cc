#include "agora/base/thread_loop.h"

#include <pthread.h>

#include <utility>

namespace agora::base {

ThreadLoop::ThreadLoop(const std::string& name) : thread_([this] { run(); }) {
  pthread_setname_np(thread_.native_handle(), name.substr(0, 15).c_str());
}

ThreadLoop::~ThreadLoop() { stop(); }

void ThreadLoop::post(Task task) {
  MutexLock lock(mutex_);
  if (stopping_) return;
  turns_.post(std::move(task));
  changed_.wake_all();
}

TimerId ThreadLoop::at(int64_t when_ns, Task task) {
  MutexLock lock(mutex_);
  if (stopping_) return {};
  const bool first = when_ns < turns_.next_ns();
  const TimerId id = turns_.at(when_ns, std::move(task));
  if (first) changed_.wake_all();
  return id;
}

void ThreadLoop::cancel(TimerId timer) {
  Task cancelled;  // goes without the lock: what it holds may use the loop when it ends
  MutexLock lock(mutex_);
  cancelled = turns_.cancel(timer);
}

void ThreadLoop::stop() {
  {
    Timers dropped;  // goes without the lock, too
    MutexLock lock(mutex_);
    stopping_ = true;
    dropped = turns_.drop_timers();
    changed_.wake_all();
  }
  if (thread_.joinable()) thread_.join();
}

void ThreadLoop::run() {
  for (;;) {
    std::optional<Task> task;
    {
      MutexLock lock(mutex_);
      while (!(task = turns_.take(now_ns())) && !stopping_) changed_.wait_until(mutex_, turns_.next_ns());
    }
    if (!task) return;
    (*task)();
  }
}

}  // namespace agora::base
