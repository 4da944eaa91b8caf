// Memory for blocks that are too small for a huge page of their own: they share huge pages with each other.
//
//   void* data = middle_blocks().take(bytes);      middle_blocks().give(data, bytes);
//
// A matrix of an expert is often a fraction of 2 MiB. On pages of 4 KiB a pass over its weights is 5-10 %
// slower: every page costs a walk of the page tables. Any thread.
#pragma once

#include <cstdint>
#include <map>

#include "agora/base/mutex.h"

namespace agora::tensor {

class MiddleBlocks {
 public:
  // 64-byte aligned, contents undefined; nullptr when the system has no memory left. Lowest address first, so
  // that what is in use stays together.
  void* take(int64_t bytes);
  // `bytes` as they were asked for.
  void give(void* data, int64_t bytes);

 private:
  bool grow(int64_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  base::Mutex mutex_;
  std::map<char*, int64_t> free_ ABSL_GUARDED_BY(mutex_);  // runs of bytes, none touching the next
};

// The process's own, like malloc's lists. Never destroyed.
MiddleBlocks& middle_blocks();

}  // namespace agora::tensor
