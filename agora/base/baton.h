// Lets several threads share one processor politely: who holds the baton computes, who waits gives it away.
//
//   Baton baton(loop);   BatonTurn turn(baton);   // computes ...
//   { BatonRest rest(&baton);  wait_for_the_answer(); }   // others compute meanwhile
//
// A trainer with several micro-batches in flight runs one thread for each: the work between two waits is
// never interleaved, so what is written only there needs no lock. Waiters get their turn in the order in
// which they asked. Any thread.
#pragma once

#include <cstdint>
#include <memory>

#include "agora/base/loop.h"
#include "agora/base/mutex.h"

namespace agora::base {

class Baton {
 public:
  // loop: whose callers the threads are; it outlives the baton.
  explicit Baton(Loop& loop) : loop_(loop), changed_(loop.wait_point()) {}

  Loop& loop() const { return loop_; }
  void take() {
    MutexLock lock(mutex_);
    const uint64_t mine = asked_++;
    while (served_ != mine) changed_->wait(mutex_);
  }
  void give() {
    MutexLock lock(mutex_);
    ++served_;
    changed_->wake_all();
  }

 private:
  Loop& loop_;
  Mutex mutex_;
  const std::unique_ptr<WaitPoint> changed_;
  uint64_t asked_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t served_ ABSL_GUARDED_BY(mutex_) = 0;
};

class BatonTurn {
 public:
  explicit BatonTurn(Baton& baton) : baton_(baton) { baton_.take(); }
  ~BatonTurn() { baton_.give(); }
  BatonTurn(const BatonTurn&) = delete;
  BatonTurn& operator=(const BatonTurn&) = delete;

 private:
  Baton& baton_;
};

// baton may be null: then there is nobody to give it to.
class BatonRest {
 public:
  explicit BatonRest(Baton* baton) : baton_(baton) {
    if (baton_ != nullptr) baton_->give();
  }
  ~BatonRest() {
    if (baton_ != nullptr) baton_->take();
  }
  BatonRest(const BatonRest&) = delete;
  BatonRest& operator=(const BatonRest&) = delete;

 private:
  Baton* baton_;
};

}  // namespace agora::base
