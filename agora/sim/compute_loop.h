// A host's compute thread in virtual time: one piece of work at a time, each taking as long as it says.
//
//   ComputeLoop compute(peer_loop);   swarm::Executor executor(compute);
//   compute.spend(rows * 5 * kMicrosecondNs);     // from inside a piece of work: see SimExperts
//
// Work runs at once, in full; what it sends leaves when the time that it says it took is over, and the next
// piece begins then. One thread, the world's.
#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>

#include "agora/base/check.h"
#include "agora/sim/peer_loop.h"

namespace agora::sim {

class ComputeLoop final : public base::Loop {
 public:
  explicit ComputeLoop(std::shared_ptr<PeerLoop> loop) : loop_(std::move(loop)) {}

  int64_t now_ns() const override { return loop_->now_ns(); }
  void post(Task task) override {
    waiting_.push_back(std::move(task));
    run_when_free();
  }
  base::TimerId at(int64_t when_ns, Task task) override {
    return loop_->at(when_ns, [this, task = std::move(task)]() mutable { post(std::move(task)); });
  }
  void cancel(base::TimerId timer) override { loop_->cancel(timer); }

  // From inside a piece of work, or from beside the queue while the processor is free.
  void spend(int64_t ns) {
    AGORA_CHECK(running_ || free_ns_ <= loop_->now_ns());
    loop_->spend(ns);
    busy_ns_ += ns;
    free_ns_ = std::max(free_ns_, loop_->now_ns());
  }

  size_t waiting() const { return waiting_.size(); }
  int64_t busy_ns() const { return busy_ns_; }  // in all

 private:
  void run_when_free() {
    if (scheduled_ || running_ || waiting_.empty()) return;
    scheduled_ = true;
    loop_->at(free_ns_, [this] {
      scheduled_ = false;
      running_ = true;
      Task task = std::move(waiting_.front());
      waiting_.pop_front();
      const int64_t spent_ns = loop_->run_spending(task);
      running_ = false;
      free_ns_ = std::max(free_ns_, loop_->now_ns() + spent_ns);
      run_when_free();
    });
  }

  const std::shared_ptr<PeerLoop> loop_;
  std::deque<Task> waiting_;
  bool scheduled_ = false, running_ = false;
  int64_t free_ns_ = 0;  // of the peer's clock
  int64_t busy_ns_ = 0;
};

}  // namespace agora::sim
