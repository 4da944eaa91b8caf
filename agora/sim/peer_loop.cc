#include "agora/sim/peer_loop.h"

#include <algorithm>
#include <utility>

#include "agora/base/check.h"

namespace agora::sim {
namespace {

constexpr int64_t kMillion = 1'000'000;
constexpr int64_t kNeverNs = INT64_MAX / 4;  // a timer beyond it is none
// Who is sent home when its peer dies goes within so many waits, or waits for ever: a bug.
constexpr int kWaitsAfterDeathMax = 100'000;
constexpr int64_t kWaitOfTheDeadNs = 600 * base::kSecondNs;  // more than any deadline or patience

}  // namespace

// A fiber that stands at a wait point. It is woken once.
struct PeerLoop::Waiter {
  Fiber* fiber = nullptr;
  bool woken = false;
};

class PeerLoop::FiberWaitPoint final : public base::WaitPoint {
 public:
  explicit FiberWaitPoint(std::shared_ptr<PeerLoop> loop) : loop_(std::move(loop)) {}

  void wait_until(base::Mutex& mutex, int64_t deadline_ns) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    auto waiter = std::make_shared<Waiter>(Waiter{loop_->fibers_.current(), false});
    AGORA_CHECK(waiter->fiber != nullptr);  // a task of a loop must not wait
    waiting_.push_back(waiter);
    base::TimerId timer;
    if (deadline_ns != INT64_MAX && !loop_->dead_) {
      timer = loop_->at(deadline_ns, [loop = loop_.get(), waiter] { loop->wake(waiter); });
    }
    mutex.unlock();
    loop_->park(waiter);
    mutex.lock();
    loop_->cancel(timer);
    std::erase(waiting_, waiter);
  }

  void wake_all() override {
    for (const std::shared_ptr<Waiter>& waiter : waiting_) {
      loop_->post([loop = loop_.get(), waiter] { loop->wake(waiter); });
    }
  }

 private:
  const std::shared_ptr<PeerLoop> loop_;
  std::vector<std::shared_ptr<Waiter>> waiting_;
};

PeerLoop::PeerLoop(base::VirtualLoop& world, Fibers& fibers, const PeerClock& clock)
    : world_(world),
      fibers_(fibers),
      base_world_ns_(world.now_ns()),
      base_local_ns_(world.now_ns() + clock.offset_ns),
      drift_ppm_(clock.drift_ppm) {}

PeerLoop::~PeerLoop() { AGORA_CHECK(callers_ == 0); }

// Whole parts in a million only: two roundings of one time are the same on every machine.
int64_t PeerLoop::local_ns(int64_t world_ns) const {
  const int64_t passed = world_ns - base_world_ns_;
  return base_local_ns_ + passed + passed / kMillion * drift_ppm_;
}

int64_t PeerLoop::world_ns(int64_t local) const {
  const int64_t passed = local - base_local_ns_;
  int64_t guess = base_world_ns_ + passed - passed / (kMillion + drift_ppm_) * drift_ppm_;
  while (local_ns(guess) < local) guess += std::max<int64_t>(1, local - local_ns(guess));
  return guess;
}

int64_t PeerLoop::now_ns() const { return dead_ ? dead_ns_ : local_ns(world_.now_ns()) + spent_ns_; }

void PeerLoop::post(Task task) { at(now_ns(), std::move(task)); }

base::TimerId PeerLoop::at(int64_t when_ns, Task task) {
  if (dead_) return {};
  const base::TimerId id = timers_.add(std::max(when_ns, now_ns()), std::move(task));
  arm();
  return id;
}

void PeerLoop::cancel(base::TimerId timer) { timers_.cancel(timer); }

void PeerLoop::arm() {
  if (dead_ || running_ || timers_.next_ns() > kNeverNs) return;
  const int64_t when_ns = std::max({world_ns(timers_.next_ns()), frozen_until_ns_, world_.now_ns()});
  if (when_ns == wake_up_ns_) return;
  world_.cancel(wake_up_);
  wake_up_ns_ = when_ns;
  wake_up_ = world_.at(when_ns, [weak = weak_from_this()] {
    if (const std::shared_ptr<PeerLoop> self = weak.lock()) self->run_due();
  });
}

void PeerLoop::run_due() {
  wake_up_ = {};
  wake_up_ns_ = INT64_MAX;
  running_ = true;
  while (!dead_ && !frozen() && timers_.due(now_ns())) run_spending(timers_.take());
  running_ = false;
  arm();
}

void PeerLoop::arrive(Task task) {
  if (dead_) return;
  if (frozen()) return post(std::move(task));
  run_spending(task);
}

int64_t PeerLoop::run_spending(const Task& task) {
  const int64_t before_ns = std::exchange(spent_ns_, 0);
  task();
  return std::exchange(spent_ns_, before_ns);
}

void PeerLoop::rebase(int64_t jump_ns) {
  base_local_ns_ = local_ns(world_.now_ns()) + jump_ns;
  base_world_ns_ = world_.now_ns();
}

void PeerLoop::jump(int64_t ns) {
  AGORA_CHECK(ns >= 0);
  rebase(ns);
  arm();
}

void PeerLoop::set_drift(int32_t drift_ppm) {
  rebase(0);
  drift_ppm_ = drift_ppm;
  arm();
}

void PeerLoop::freeze_until(int64_t until_ns) {
  frozen_until_ns_ = std::max(frozen_until_ns_, until_ns);
  arm();
}

void PeerLoop::thaw() {
  frozen_until_ns_ = 0;
  arm();
}

// ---- callers

std::unique_ptr<base::WaitPoint> PeerLoop::wait_point() {
  return std::make_unique<FiberWaitPoint>(shared_from_this());
}

void PeerLoop::start_caller(std::function<void()> body) {
  ++callers_;
  auto begin = [this, body = std::move(body)] {
    fibers_.start([this, body] {
      body();
      --callers_;
    });
  };
  post(std::move(begin));
}

void PeerLoop::run_together(std::vector<Task> tasks) {
  struct Together {
    base::Mutex mutex;
    size_t open = 0;
  };
  auto together = std::make_shared<Together>();
  together->open = tasks.size();
  const std::shared_ptr<base::WaitPoint> ended = wait_point();
  for (Task& task : tasks) {
    fibers_.start([together, ended, task = std::move(task)] {
      task();
      --together->open;
      ended->wake_all();
    });
  }
  base::MutexLock lock(together->mutex);
  while (together->open > 0) ended->wait(together->mutex);
}

void PeerLoop::park(const std::shared_ptr<Waiter>& waiter) {
  parked_.push_back(waiter);
  fibers_.park();
  std::erase(parked_, waiter);
}

void PeerLoop::wake(const std::shared_ptr<Waiter>& waiter) {
  if (std::exchange(waiter->woken, true)) return;
  fibers_.resume(waiter->fiber);
}

// Whoever waits is woken, again and again, until it has gone.
void PeerLoop::kill() {
  if (dead_) return;
  dead_ns_ = now_ns();
  dead_ = true;
  AGORA_CHECK(fibers_.current() == nullptr);
  world_.cancel(wake_up_);
  while (!timers_.empty()) timers_.take();
  for (int i = 0; !parked_.empty(); ++i) {
    AGORA_CHECK(i < kWaitsAfterDeathMax);
    dead_ns_ += kWaitOfTheDeadNs;
    wake(std::shared_ptr<Waiter>(parked_.front()));
  }
  callers_ = 0;
}

}  // namespace agora::sim
