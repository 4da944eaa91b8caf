#include "agora/tensor/buffer.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

namespace agora::tensor {
namespace {

// The one count of the process; atomics only, no behaviour depends on it.
struct Count {
  std::array<std::atomic<int64_t>, kPurposes> bytes{};
  std::array<std::atomic<int64_t>, kPurposes> peak{};
  std::atomic<int64_t> total{0};
  std::atomic<int64_t> total_peak{0};
};
Count count;

constexpr int64_t kAlignment = 64;              // one cache line, one AVX-512 register
constexpr int64_t kHugePage = int64_t{2} << 20;  // from this size on, ask for 2 MiB pages: 10-20 % of bandwidth

void raise(std::atomic<int64_t>& peak, int64_t value) {
  int64_t seen = peak.load(std::memory_order_relaxed);
  while (seen < value && !peak.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
  }
}

int64_t round_up(int64_t bytes, int64_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

namespace internal {

void* allocate(int64_t bytes, Purpose purpose, Contents contents) {
  AGORA_CHECK_GE(bytes, 0);
  if (bytes == 0) return nullptr;
  void* data = nullptr;
  if (bytes >= kHugePage) {
    data = std::aligned_alloc(kHugePage, static_cast<size_t>(round_up(bytes, kHugePage)));
    if (data != nullptr) madvise(data, static_cast<size_t>(round_up(bytes, kHugePage)), MADV_HUGEPAGE);
  } else {
    data = std::aligned_alloc(kAlignment, static_cast<size_t>(round_up(bytes, kAlignment)));
  }
  if (data == nullptr) base::check_failed_values(__FILE__, __LINE__, "out of memory: bytes asked for", bytes, 0);
  if (contents == Contents::zero) std::memset(data, 0, static_cast<size_t>(bytes));
  const auto p = static_cast<size_t>(purpose);
  raise(count.peak[p], count.bytes[p].fetch_add(bytes, std::memory_order_relaxed) + bytes);
  raise(count.total_peak, count.total.fetch_add(bytes, std::memory_order_relaxed) + bytes);
  return data;
}

void release(void* data, int64_t bytes, Purpose purpose) {
  if (data == nullptr) return;
  count.bytes[static_cast<size_t>(purpose)].fetch_sub(bytes, std::memory_order_relaxed);
  count.total.fetch_sub(bytes, std::memory_order_relaxed);
  std::free(data);
}

}  // namespace internal

MemoryCount memory_count() {
  MemoryCount result;
  for (int p = 0; p < kPurposes; ++p) {
    result.bytes[p] = count.bytes[p].load(std::memory_order_relaxed);
    result.bytes_peak[p] = count.peak[p].load(std::memory_order_relaxed);
  }
  result.bytes_total = count.total.load(std::memory_order_relaxed);
  result.bytes_total_peak = count.total_peak.load(std::memory_order_relaxed);
  return result;
}

}  // namespace agora::tensor
