// News that goes on to others once: places of the peers whose records changed, first come first served.
//
//   Rumors rumors;   rumors.add(place);   std::vector<uint64_t> batch = rumors.take(100);
//
// What does not fit is left to the exchanges. One thread at a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_set>
#include <vector>

namespace agora::peers {

class Rumors {
 public:
  static constexpr size_t kMax = 1024;

  bool empty() const { return places_.empty(); }
  void add(uint64_t place) {
    if (places_.size() < kMax && queued_.insert(place).second) places_.push_back(place);
  }
  std::vector<uint64_t> take(size_t count) {
    count = std::min(count, places_.size());
    std::vector<uint64_t> batch(places_.begin(), places_.begin() + static_cast<ptrdiff_t>(count));
    places_.erase(places_.begin(), places_.begin() + static_cast<ptrdiff_t>(count));
    for (const uint64_t place : batch) queued_.erase(place);
    return batch;
  }

 private:
  std::deque<uint64_t> places_;
  std::unordered_set<uint64_t> queued_;  // the same
};

}  // namespace agora::peers
