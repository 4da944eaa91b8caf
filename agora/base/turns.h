// What the thread of a Loop has to run, in the order in which it came due.
//
//   turns.post(task);   turns.at(when_ns, task);   while (auto task = turns.take(now_ns)) (*task)();
//
// A timer's turn comes after what was posted before it was seen to be due, and before what is posted later:
// tasks that post themselves again keep no timer waiting, and a late loop does not take a reply that has come
// for one that has not. One thread at a time.
#pragma once

#include <deque>
#include <optional>
#include <utility>

#include "agora/base/loop.h"
#include "agora/base/timers.h"

namespace agora::base {

class Turns {
 public:
  void post(Loop::Task task) { tasks_.push_back(std::move(task)); }
  TimerId at(int64_t when_ns, Loop::Task task) { return timers_.add(when_ns, std::move(task)); }
  Loop::Task cancel(TimerId timer) { return timers_.cancel(timer); }  // as Timers::cancel()
  Timers drop_timers() { return std::exchange(timers_, {}); }         // for the same reason

  // When the next one is due. INT64_MIN: at once; INT64_MAX: there is none.
  int64_t next_ns() const { return tasks_.empty() ? timers_.next_ns() : INT64_MIN; }

  // Nothing: none is due yet.
  std::optional<Loop::Task> take(int64_t now_ns) {
    while (!ahead_ || *ahead_ == 0) {
      if (ahead_ && timers_.due(due_by_ns_)) return timers_.take();
      ahead_.reset();
      if (!timers_.due(now_ns)) break;
      ahead_ = tasks_.size();
      due_by_ns_ = now_ns;
    }
    if (tasks_.empty()) return std::nullopt;
    Loop::Task task = std::move(tasks_.front());
    tasks_.pop_front();
    if (ahead_) --*ahead_;
    return task;
  }

 private:
  std::deque<Loop::Task> tasks_;
  Timers timers_;
  std::optional<size_t> ahead_;  // so many tasks go before the timers that were due at due_by_ns_
  int64_t due_by_ns_ = 0;
};

}  // namespace agora::base
