// One peer's loop and its view of time, on the world's virtual loop: production code runs on it unchanged.
//
//   auto loop = std::make_shared<PeerLoop>(world, fibers, PeerClock{.offset_ns = ..., .drift_ppm = 200});
//   loop->jump(3 * kSecondNs);   loop->freeze_until(world.now_ns() + 5 * kSecondNs);
//   loop->spend(40 * kMicrosecondNs);         // in a task: its work took so long; what it sends leaves later
//   loop->kill();                             // nothing of it runs any more; callers that wait are sent home
//
// Clocks only go forward. A frozen peer does nothing and misses nothing: what was due runs when it thaws, as
// after SIGSTOP. When a peer dies, its time runs away: each wait of its callers is minutes long at once, so
// every wait for a deadline ends, and callers return through their ordinary paths. Tasks of a loop run one
// after the other; callers are fibers (fiber.h). One thread; shared ownership, because the world's events
// name it weakly.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "agora/base/timers.h"
#include "agora/base/virtual_loop.h"
#include "agora/sim/fiber.h"

namespace agora::sim {

struct PeerClock {
  int64_t offset_ns = 0;  // against the world's; any
  int32_t drift_ppm = 0;  // faster (or slower) than the world's: quartz 100, a bad virtual machine 1,000
};

class PeerLoop final : public base::Loop, public std::enable_shared_from_this<PeerLoop> {
 public:
  PeerLoop(base::VirtualLoop& world, Fibers& fibers, const PeerClock& clock);
  ~PeerLoop() override;

  // ---- for the peer

  int64_t now_ns() const override;
  void post(Task task) override;
  base::TimerId at(int64_t when_ns, Task task) override;
  void cancel(base::TimerId timer) override;
  std::unique_ptr<base::WaitPoint> wait_point() override;
  void run_together(std::vector<Task> tasks) override;

  // ---- for the simulator

  // A caller of this peer: a fiber that begins as a task of the loop.
  void start_caller(std::function<void()> body);
  // Something comes from outside now: a message. It waits while the peer is frozen; the dead get none.
  void arrive(Task task);
  // Every task has time of its own to spend: what it sends after spend() leaves so much later, and the next
  // task knows nothing of it. Runs one inside of another and gives what it spent.
  int64_t run_spending(const Task& task);
  void spend(int64_t ns) { spent_ns_ += ns; }
  int64_t world_now_ns() const { return world_.now_ns() + spent_ns_; }  // where a message leaves

  void jump(int64_t ns);
  void set_drift(int32_t drift_ppm);
  void freeze_until(int64_t world_ns);
  void thaw();
  bool frozen() const { return world_.now_ns() < frozen_until_ns_; }
  void kill();
  bool dead() const { return dead_; }
  size_t callers() const { return callers_; }
  size_t timers() const { return timers_.size(); }

 private:
  class FiberWaitPoint;
  struct Waiter;

  int64_t local_ns(int64_t world_ns) const;
  int64_t world_ns(int64_t local_ns) const;
  void rebase(int64_t jump_ns);
  void arm();
  void run_due();
  void park(const std::shared_ptr<Waiter>& waiter);
  void wake(const std::shared_ptr<Waiter>& waiter);

  base::VirtualLoop& world_;
  Fibers& fibers_;
  int64_t base_world_ns_, base_local_ns_;  // the clock since it was last set
  int32_t drift_ppm_;
  int64_t spent_ns_ = 0;
  int64_t frozen_until_ns_ = 0;  // of the world
  bool dead_ = false;
  int64_t dead_ns_ = 0;  // what the clock of the dead shows
  bool running_ = false;
  base::Timers timers_;  // by the peer's own clock
  base::TimerId wake_up_;
  int64_t wake_up_ns_ = INT64_MAX;  // of the world
  size_t callers_ = 0;
  std::vector<std::shared_ptr<Waiter>> parked_;  // in the order in which they parked
};

}  // namespace agora::sim
