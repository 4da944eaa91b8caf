// Tasks by the time at which they are due; the part of every Loop that is the same.
//
//   timers.add(when_ns, task);   while (timers.due(now_ns)) timers.take()();
//
// One thread at a time.
#pragma once

#include <map>
#include <unordered_map>
#include <utility>

#include "agora/base/loop.h"

namespace agora::base {

class Timers {
 public:
  TimerId add(int64_t when_ns, Loop::Task task) {
    const TimerId id{++last_};
    tasks_.emplace(std::pair(when_ns, id.value), std::move(task));
    when_.emplace(id.value, when_ns);
    return id;
  }

  // What it would have run: what that holds is let go of by the caller, who may hold a lock now. Empty: none.
  Loop::Task cancel(TimerId timer) {
    const auto when = when_.find(timer.value);
    if (when == when_.end()) return {};
    const auto found = tasks_.find({when->second, timer.value});
    Loop::Task task = std::move(found->second);
    tasks_.erase(found);
    when_.erase(when);
    return task;
  }

  bool empty() const { return tasks_.empty(); }
  size_t size() const { return tasks_.size(); }
  int64_t next_ns() const { return tasks_.empty() ? INT64_MAX : tasks_.begin()->first.first; }
  bool due(int64_t now_ns) const { return next_ns() <= now_ns; }

  // The earliest. Not empty.
  Loop::Task take() {
    auto first = tasks_.begin();
    Loop::Task task = std::move(first->second);
    when_.erase(first->first.second);
    tasks_.erase(first);
    return task;
  }

 private:
  uint64_t last_ = 0;
  std::map<std::pair<int64_t, uint64_t>, Loop::Task> tasks_;  // by (when, number)
  std::unordered_map<uint64_t, int64_t> when_;
};

}  // namespace agora::base
