#include "agora/tensor/buffer.h"

#include <cstdlib>
#include <cstring>
#include <unordered_map>
#include <vector>

#include "agora/base/mutex.h"
#include "agora/tensor/middle_blocks.h"
#include <sys/mman.h>

namespace agora::tensor {
namespace {

// The one count of the process; atomics only, no behaviour depends on it.
struct Count {
  std::array<std::atomic<int64_t>, kPurposes> bytes{};
  std::array<std::atomic<int64_t>, kPurposes> peak{};
  std::atomic<int64_t> total{0};
};
Count count;

constexpr int64_t kAlignment = 64;  // one cache line, one AVX-512 register
#ifdef __SANITIZE_ADDRESS__
constexpr int64_t kMiddle = INT64_MAX;  // blocks of their own, so that the sanitizer sees their ends
#else
constexpr int64_t kMiddle = int64_t{64} << 10;  // from this size on, blocks share huge pages
#endif
constexpr int64_t kHugePage = int64_t{2}
                              << 20;  // from this size on, ask for 2 MiB pages: 10-20 % of bandwidth

void raise(std::atomic<int64_t>& peak, int64_t value) {
  int64_t seen = peak.load(std::memory_order_relaxed);
  while (seen < value && !peak.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
  }
}

int64_t round_up(int64_t bytes, int64_t unit) { return (bytes + unit - 1) / unit * unit; }

// Huge pages of its own are for what nearly fills them; the rest shares.
bool has_own_pages(int64_t bytes) {
  return bytes >= kHugePage && round_up(bytes, kHugePage) - bytes <= bytes / 8;
}

// Large blocks that were released and wait to be used again. The same scratch is taken and released many
// times a step; asking the operating system for it anew would clear its pages each time, an eighth of a
// training step. Like malloc's own lists, one for the process.
class SpareBlocks {
 public:
  // nullptr: none that fits without wasting more than a quarter of it.
  void* take(int64_t bytes) {
    const base::MutexLock lock(mutex_);
    size_t best = blocks_.size();
    for (size_t i = 0; i < blocks_.size(); ++i) {
      const bool fits = blocks_[i].bytes >= bytes && blocks_[i].bytes - bytes <= bytes / 4;
      if (fits && (best == blocks_.size() || blocks_[i].bytes < blocks_[best].bytes)) best = i;
    }
    if (best == blocks_.size()) return nullptr;
    void* data = blocks_[best].data;
    sizes_[data] = blocks_[best].bytes;
    bytes_ -= blocks_[best].bytes;
    blocks_.erase(blocks_.begin() + static_cast<int64_t>(best));
    return data;
  }

  // Keeps the block, and lets the oldest ones go while there are too many bytes.
  void give(void* data, int64_t bytes) {
    const base::MutexLock lock(mutex_);
    if (const auto known = sizes_.find(data); known != sizes_.end()) {
      bytes = known->second;  // it was taken for something smaller
      sizes_.erase(known);
    }
    blocks_.push_back({data, bytes});
    bytes_ += bytes;
    while (bytes_ > kSpareBytesMax) {
      bytes_ -= blocks_.front().bytes;
      std::free(blocks_.front().data);
      blocks_.erase(blocks_.begin());
    }
  }

 private:
  static constexpr int64_t kSpareBytesMax = int64_t{64} << 20;

  struct Block {
    void* data;
    int64_t bytes;
  };
  base::Mutex mutex_;
  std::vector<Block> blocks_ ABSL_GUARDED_BY(mutex_);                 // the oldest first
  std::unordered_map<void*, int64_t> sizes_ ABSL_GUARDED_BY(mutex_);  // in use, of blocks that came from here
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

SpareBlocks& spare_blocks() {
  static auto* blocks =
      new SpareBlocks;  // never destroyed: buffers of static life may be released after main()
  return *blocks;
}

void* allocate_huge(int64_t bytes) {
  if (void* data = spare_blocks().take(bytes)) return data;
  void* data = std::aligned_alloc(kHugePage, static_cast<size_t>(bytes));
  if (data != nullptr) madvise(data, static_cast<size_t>(bytes), MADV_HUGEPAGE);
  return data;
}

}  // namespace

namespace internal {

void* allocate(int64_t bytes, Purpose purpose, Contents contents) {
  AGORA_CHECK_GE(bytes, 0);
  if (bytes == 0) return nullptr;
  void* data = nullptr;
  if (has_own_pages(bytes)) {
    data = allocate_huge(round_up(bytes, kHugePage));
  } else if (bytes >= kMiddle) {
    data = middle_blocks().take(bytes);
  } else {
    data = std::aligned_alloc(kAlignment, static_cast<size_t>(round_up(bytes, kAlignment)));
  }
  if (data == nullptr)
    base::check_failed_values(__FILE__, __LINE__, "out of memory: bytes asked for", bytes, 0);
  if (contents == Contents::zero) std::memset(data, 0, static_cast<size_t>(bytes));
  const auto p = static_cast<size_t>(purpose);
  raise(count.peak[p], count.bytes[p].fetch_add(bytes, std::memory_order_relaxed) + bytes);
  count.total.fetch_add(bytes, std::memory_order_relaxed);
  return data;
}

void release(void* data, int64_t bytes, Purpose purpose) {
  if (data == nullptr) return;
  count.bytes[static_cast<size_t>(purpose)].fetch_sub(bytes, std::memory_order_relaxed);
  count.total.fetch_sub(bytes, std::memory_order_relaxed);
  if (has_own_pages(bytes)) {
    spare_blocks().give(data, round_up(bytes, kHugePage));
  } else if (bytes >= kMiddle) {
    middle_blocks().give(data, bytes);
  } else {
    std::free(data);
  }
}

}  // namespace internal

MemoryCount memory_count() {
  MemoryCount result;
  for (int p = 0; p < kPurposes; ++p) {
    result.bytes[p] = count.bytes[p].load(std::memory_order_relaxed);
    result.bytes_peak[p] = count.peak[p].load(std::memory_order_relaxed);
  }
  result.bytes_total = count.total.load(std::memory_order_relaxed);
  return result;
}

}  // namespace agora::tensor
