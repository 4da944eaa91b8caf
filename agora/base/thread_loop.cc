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
  tasks_.push_back(std::move(task));
  changed_.wake_all();
}

TimerId ThreadLoop::at(int64_t when_ns, Task task) {
  MutexLock lock(mutex_);
  const bool first = when_ns < timers_.next_ns();
  const TimerId id = timers_.add(when_ns, std::move(task));
  if (first) changed_.wake_all();
  return id;
}

void ThreadLoop::cancel(TimerId timer) {
  MutexLock lock(mutex_);
  timers_.cancel(timer);
}

void ThreadLoop::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.wake_all();
  }
  if (thread_.joinable()) thread_.join();
}

void ThreadLoop::run() {
  for (;;) {
    Task task;
    {
      MutexLock lock(mutex_);
      while (tasks_.empty() && !stopping_ && !timers_.due(now_ns())) {
        changed_.wait_until(mutex_, timers_.next_ns());
      }
      if (!tasks_.empty()) {
        task = std::move(tasks_.front());
        tasks_.pop_front();
      } else if (stopping_) {
        return;
      } else {
        task = timers_.take();
      }
    }
    task();
  }
}

}  // namespace agora::base
