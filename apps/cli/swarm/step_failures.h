// Whether a trainer goes on after a step that came to nothing.
//
//   StepFailures failures;   failures.succeeded();   if (!failures.goes_on(status)) return status;
//
// Unavailable: nobody served anything for a long time; the swarm may come back. InvalidArgument: a loss or a
// gradient that is not a number - one batch, or one host's answer, that the trunk has not learned from.
// Several of these in a row are the model's own, and end it, as every other error does. One thread, but for
// count().
#pragma once

#include <atomic>
#include <cstdint>

#include "agora/base/result.h"

namespace agora::cli {

class StepFailures {
 public:
  static constexpr int kInvalidInRowMax = 5;

  void succeeded() { invalid_in_row_ = 0; }
  bool goes_on(const Status& status) {
    const bool skips = absl::IsInvalidArgument(status) && ++invalid_in_row_ < kInvalidInRowMax;
    if (!skips && !absl::IsUnavailable(status)) return false;
    count_.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  // Steps that were skipped.
  uint64_t count() const { return count_.load(std::memory_order_relaxed); }

 private:
  int invalid_in_row_ = 0;
  std::atomic<uint64_t> count_ = 0;
};

}  // namespace agora::cli
