#include "agora/base/thread_pool.h"

#include <sched.h>

#include <atomic>
#include <thread>
#include <vector>

#include "agora/base/check.h"
#include "agora/base/mutex.h"

namespace agora::base {
namespace {

// How long a worker spins for the next loop before it sleeps: some 7 us. The loops of a training step follow
// each other within microseconds; a sleep and a wake cost more than that. Longer takes from other processes
// of a swarm what they would compute meanwhile: 2,000 cost it 2 % of its tokens/s.
constexpr int kSpins = 300;

// Each costs a system call when its caller has moved. Where there are many processors a worker that wakes is
// seldom put on its caller's.
constexpr size_t kKeptOffMax = 7;
constexpr int kNoProcessor = -1;

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

// A loop is open from when it is published until its caller has found no piece left. Workers join it while it
// is open and take pieces from `next`; the caller waits for those that have joined, never for one that still
// sleeps: on a machine that others use too it might not wake soon.
struct ThreadPool::Shared {
  static constexpr uint64_t kOpen = uint64_t{1} << 31, kInside = kOpen - 1, kGeneration = uint64_t{1} << 32;

  std::atomic<uint64_t> loop{0};  // generations * kGeneration + kOpen if it is open + workers inside
  std::atomic<int64_t> next{0};
  std::atomic<bool> stopping{false};
  int64_t pieces = 0;
  absl::FunctionRef<void(int64_t)>* body = nullptr;

  Mutex caller;  // one loop at a time
  int kept_off ABSL_GUARDED_BY(caller) = kNoProcessor;
  Mutex sleep;
  Condition wake;
  int sleepers ABSL_GUARDED_BY(sleep) = 0;

  std::vector<std::thread> workers;

  uint64_t generation() const { return loop.load(std::memory_order_acquire) / kGeneration; }

  void take_pieces() {
    for (;;) {
      const int64_t piece = next.fetch_add(1, std::memory_order_relaxed);
      if (piece >= pieces) return;
      (*body)(piece);
    }
  }

  // Returns when there has been another loop than the one that was seen last.
  uint64_t wait_for_work(uint64_t seen) {
    for (int spin = 0; spin < kSpins; ++spin) {
      const uint64_t now = generation();
      if (now != seen) return now;
      relax();
    }
    MutexLock lock(sleep);
    ++sleepers;
    while (generation() == seen) wake.wait(sleep);
    --sleepers;
    return generation();
  }

  bool join() {
    uint64_t now = loop.load(std::memory_order_relaxed);
    while ((now & kOpen) != 0) {
      if (loop.compare_exchange_weak(now, now + 1, std::memory_order_acquire)) return true;
    }
    return false;
  }

  void work() {
    uint64_t seen = 0;
    for (;;) {
      seen = wait_for_work(seen);
      if (stopping.load(std::memory_order_relaxed)) return;
      if (!join()) continue;
      take_pieces();
      loop.fetch_sub(1, std::memory_order_release);
      loop.notify_one();
    }
  }

  // The processor on which the caller computes is the last where a worker should wait; the system puts it
  // there, on a busy machine, even when another is idle (docs/decisions/017-workers-beside-their-caller.md).
  // They may run where the caller may, but there.
  void keep_workers_off(int processor) ABSL_EXCLUSIVE_LOCKS_REQUIRED(caller) {
    if (processor == kept_off || workers.size() > kKeptOffMax) return;
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) != 0) return;
    if (processor != kNoProcessor) CPU_CLR(processor, &set);
    if (CPU_COUNT(&set) == 0) return;
    for (std::thread& worker : workers) pthread_setaffinity_np(worker.native_handle(), sizeof(set), &set);
    kept_off = processor;
  }

  void publish() ABSL_EXCLUSIVE_LOCKS_REQUIRED(caller) {
    loop.store((generation() + 1) * kGeneration + kOpen, std::memory_order_release);
    MutexLock lock(sleep);
    if (sleepers == 0) return;
    keep_workers_off(sched_getcpu());
    wake.wake_all();
  }

  // No worker joins any more, and those that had have left. Where one stays long the system has taken its
  // processor away: the caller sleeps, so that the worker may go on on this one.
  void close() ABSL_EXCLUSIVE_LOCKS_REQUIRED(caller) {
    loop.fetch_and(~kOpen, std::memory_order_relaxed);
    for (int spin = 0;; ++spin) {
      const uint64_t now = loop.load(std::memory_order_acquire);
      if ((now & kInside) == 0) return;
      if (spin < kSpins) {
        relax();
      } else {
        keep_workers_off(kNoProcessor);
        loop.wait(now, std::memory_order_acquire);
      }
    }
  }
};

ThreadPool::ThreadPool(int threads) : threads_(threads), shared_(std::make_unique<Shared>()) {
  AGORA_CHECK_GE(threads, 1);
  for (int i = 1; i < threads; ++i)
    shared_->workers.emplace_back([shared = shared_.get()] { shared->work(); });
}

ThreadPool::~ThreadPool() {
  {
    MutexLock no_loop(shared_->caller);
    shared_->stopping.store(true, std::memory_order_relaxed);
    shared_->publish();
  }
  for (std::thread& worker : shared_->workers) worker.join();
}

void ThreadPool::run(int64_t pieces, absl::FunctionRef<void(int64_t)> body) {
  if (pieces <= 0) return;
  if (threads_ == 1 || pieces == 1) {  // nothing to share
    for (int64_t piece = 0; piece < pieces; ++piece) body(piece);
    return;
  }
  MutexLock one_loop(shared_->caller);
  shared_->pieces = pieces;
  shared_->body = &body;
  shared_->next.store(0, std::memory_order_relaxed);
  shared_->publish();
  shared_->take_pieces();
  shared_->close();
}

void ThreadPool::run_ranges(int64_t n, int64_t grain, absl::FunctionRef<void(int64_t, int64_t)> body) {
  AGORA_CHECK_GE(grain, 1);
  run((n + grain - 1) / grain, [&](int64_t piece) {
    const int64_t begin = piece * grain;
    body(begin, begin + grain < n ? begin + grain : n);
  });
}

int processors_available() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  const int count = CPU_COUNT(&set);
  return count > 0 ? count : 1;
}

}  // namespace agora::base
