#include "agora/peers/transport/grpc/epoll_loop.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "agora/base/check.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>

namespace agora::peers {

using base::MutexLock;

namespace {

constexpr int kTasksPerLook = 64;  // tasks that come again keep no file waiting

}  // namespace

EpollLoop::EpollLoop(const std::string& name)
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)), wakeup_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  AGORA_CHECK(epoll_ >= 0 && wakeup_ >= 0);
  epoll_event event{.events = EPOLLIN, .data = {.fd = wakeup_}};
  AGORA_CHECK_EQ(::epoll_ctl(epoll_, EPOLL_CTL_ADD, wakeup_, &event), 0);
  thread_ = std::thread([this] { run(); });
  pthread_setname_np(thread_.native_handle(), name.substr(0, 15).c_str());
}

EpollLoop::~EpollLoop() {
  stop();
  ::close(wakeup_);
  ::close(epoll_);
}

void EpollLoop::wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wakeup_, &one, sizeof one);  // full: it wakes anyway
}

void EpollLoop::post(Task task) {
  MutexLock lock(mutex_);
  if (stopping_) return;
  turns_.post(std::move(task));
  wake();
}

base::TimerId EpollLoop::at(int64_t when_ns, Task task) {
  MutexLock lock(mutex_);
  if (stopping_) return {};
  const bool first = when_ns < turns_.next_ns();
  const base::TimerId id = turns_.at(when_ns, std::move(task));
  if (first) wake();
  return id;
}

void EpollLoop::cancel(base::TimerId timer) {
  Task cancelled;  // goes without the lock: what it holds may use the loop when it ends
  MutexLock lock(mutex_);
  cancelled = turns_.cancel(timer);
}

void EpollLoop::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    wake();
  }
  if (thread_.joinable()) thread_.join();
}

bool EpollLoop::watch(int fd, Task task) {
  epoll_event event{.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data = {.fd = fd}};
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) return false;
  watched_[fd] = std::make_shared<Task>(std::move(task));
  return true;
}

void EpollLoop::unwatch(int fd) {
  if (watched_.erase(fd) != 0) ::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
}

// One task or timer that is due. False: there is none.
bool EpollLoop::run_one() {
  std::optional<Task> task;
  {
    MutexLock lock(mutex_);
    if (!stopping_) task = turns_.take(now_ns());
  }
  if (task) (*task)();
  return task.has_value();
}

// Until the next timer; -1: none, -2: stop.
int EpollLoop::wait_ms() {
  MutexLock lock(mutex_);
  if (stopping_) return -2;
  const int64_t next_ns = turns_.next_ns();
  if (next_ns == INT64_MAX) return -1;
  const int64_t now_ns = this->now_ns();
  const int64_t left_ns = std::max(next_ns, now_ns) - now_ns;
  constexpr int64_t kWaitMsMax = 60'000;
  return static_cast<int>(std::min(kWaitMsMax, (left_ns + base::kMillisecondNs - 1) / base::kMillisecondNs));
}

void EpollLoop::run() {
  for (;;) {
    for (int i = 0; i < kTasksPerLook && run_one(); ++i) {
    }
    const int wait = wait_ms();
    if (wait == -2) return;
    std::array<epoll_event, 64> events;
    const int count = ::epoll_wait(epoll_, events.data(), events.size(), wait);
    for (int i = 0; i < count; ++i) {
      const int fd = events[i].data.fd;
      if (fd == wakeup_) {
        uint64_t ignored;
        [[maybe_unused]] const ssize_t read = ::read(wakeup_, &ignored, sizeof ignored);
        continue;
      }
      const auto found = watched_.find(fd);  // an earlier task of this turn may have let go of it
      if (found == watched_.end()) continue;
      const std::shared_ptr<Task> task = found->second;  // it may unwatch itself
      (*task)();
    }
  }
}

}  // namespace agora::peers
