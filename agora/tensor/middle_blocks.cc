#include "agora/tensor/middle_blocks.h"

#include <algorithm>
#include <iterator>

#include <sys/mman.h>

namespace agora::tensor {
namespace {

constexpr int64_t kUnit = 64;  // one cache line
constexpr int64_t kHugePage = int64_t{2} << 20;
constexpr int64_t kChunkBytes = int64_t{64} << 20;  // of addresses; pages come when they are touched

int64_t whole_units(int64_t bytes) { return (bytes + kUnit - 1) / kUnit * kUnit; }

}  // namespace

void* MiddleBlocks::take(int64_t bytes) {
  const base::MutexLock lock(mutex_);
  const int64_t size = whole_units(bytes);
  const auto fits = [size](const auto& run) { return run.second >= size; };
  auto run = std::ranges::find_if(free_, fits);
  if (run == free_.end()) {
    if (!grow(size)) return nullptr;
    run = std::ranges::find_if(free_, fits);
  }
  const auto [data, run_bytes] = *run;
  free_.erase(run);
  if (run_bytes > size) free_.emplace(data + size, run_bytes - size);
  return data;
}

void MiddleBlocks::give(void* data, int64_t bytes) {
  const base::MutexLock lock(mutex_);
  auto run = free_.emplace(static_cast<char*>(data), whole_units(bytes)).first;
  if (const auto next = std::next(run); next != free_.end() && run->first + run->second == next->first) {
    run->second += next->second;
    free_.erase(next);
  }
  if (run == free_.begin()) return;
  if (const auto before = std::prev(run); before->first + before->second == run->first) {
    before->second += run->second;
    free_.erase(run);
  }
}

bool MiddleBlocks::grow(int64_t bytes) {
  const int64_t size = std::max(kChunkBytes, (bytes + kHugePage - 1) / kHugePage * kHugePage);
  const auto mapped = static_cast<size_t>(size + kHugePage);  // room to start at a huge page
  void* memory = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  const auto address = reinterpret_cast<uintptr_t>(memory);
  const uintptr_t start = (address + kHugePage - 1) / kHugePage * kHugePage;
  char* data = static_cast<char*>(memory) + (start - address);
  madvise(data, static_cast<size_t>(size), MADV_HUGEPAGE);
  free_.emplace(data, size);
  return true;
}

MiddleBlocks& middle_blocks() {
  static auto* blocks = new MiddleBlocks;
  return *blocks;
}

}  // namespace agora::tensor
