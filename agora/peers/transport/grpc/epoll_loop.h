// A Loop that also watches files: the thread of a transport's port and timers.
//
//   EpollLoop loop("agora-port");   loop.watch(fd, [&] { read(fd); });   loop.unwatch(fd);
//
// watch() and unwatch() on the loop itself; the rest on any thread. stop() (and the destructor) drops what
// has not run, and joins; not from a task.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <thread>

#include "agora/base/loop.h"
#include "agora/base/mutex.h"
#include "agora/base/turns.h"

namespace agora::peers {

class EpollLoop final : public base::Loop {
 public:
  explicit EpollLoop(const std::string& name);
  ~EpollLoop() override;

  int64_t now_ns() const override { return clock_.now_ns(); }
  void post(Task task) override;
  base::TimerId at(int64_t when_ns, Task task) override;
  void cancel(base::TimerId timer) override;
  void stop();

  // Told once for every time that something comes (edge triggered). False: the system's limits do not allow
  // it.
  bool watch(int fd, Task task);
  void unwatch(int fd);

 private:
  void run();
  bool run_one();
  int wait_ms();
  void wake();

  RealClock clock_;
  const int epoll_, wakeup_;
  std::map<int, std::shared_ptr<Task>> watched_;  // by file; on the loop
  base::Mutex mutex_;
  base::Turns turns_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace agora::peers
