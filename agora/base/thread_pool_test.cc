#include "agora/base/thread_pool.h"

#include <sched.h>

#include <atomic>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace agora::base {
namespace {

TEST(ThreadPool, RunsEveryPieceOnce) {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (int64_t pieces : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<size_t>(pieces));
      pool.run(pieces, [&](int64_t piece) { ++runs[static_cast<size_t>(piece)]; });
      for (const std::atomic<int>& count : runs) EXPECT_EQ(count.load(), 1);
    }
  }
}

TEST(ThreadPool, RangesCoverAllAndDoNotDependOnThreads) {
  for (int threads : {1, 3}) {
    ThreadPool pool(threads);
    for (int64_t n : {0, 1, 6, 7, 8, 100}) {
      std::vector<int64_t> begins(static_cast<size_t>(n), -1);
      pool.run_ranges(n, 7, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) begins[static_cast<size_t>(i)] = begin;
      });
      for (int64_t i = 0; i < n; ++i) EXPECT_EQ(begins[static_cast<size_t>(i)], i / 7 * 7);
    }
  }
}

TEST(ThreadPool, CallersTakeTurns) {
  ThreadPool pool(3);
  std::vector<int64_t> sums(64, 0);  // plain numbers: two loops at once would be a race
  const auto caller = [&] {
    for (int loop = 0; loop < 200; ++loop) {
      pool.run(64, [&](int64_t piece) { sums[static_cast<size_t>(piece)] += piece; });
    }
  };
  std::thread other(caller);
  caller();
  other.join();
  for (int64_t piece = 0; piece < 64; ++piece) EXPECT_EQ(sums[static_cast<size_t>(piece)], 400 * piece);
}

// Of the thread that asks.
int processors_allowed() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof(set), &set);
  return CPU_COUNT(&set);
}

TEST(ThreadPool, AWorkerIsKeptOffItsCallersProcessorWhileThatComputes) {
  const int all = processors_available();
  if (all < 2) GTEST_SKIP() << "one processor";
  ThreadPool pool(2);
  const std::thread::id caller = std::this_thread::get_id();
  bool kept_off = false, let_back = false;
  for (int tries = 0; tries < 1000 && !let_back; ++tries) {
    // A worker that has not fallen asleep yet needs no place to wake at.
    for (int turn = 0; turn < 100; ++turn) std::this_thread::yield();
    std::atomic<bool> worker_came{false};
    pool.run(2, [&](int64_t) {
      if (std::this_thread::get_id() == caller) {
        while (!worker_came.load()) std::this_thread::yield();
        return;
      }
      const int allowed = processors_allowed();
      ASSERT_TRUE(allowed == all || allowed == all - 1) << allowed;
      kept_off = kept_off || allowed == all - 1;
      worker_came.store(true);
      if (!kept_off) return;
      while (processors_allowed() != all) std::this_thread::yield();  // the caller sleeps
      let_back = true;
    });
  }
  EXPECT_TRUE(kept_off);
  EXPECT_TRUE(let_back);
  EXPECT_EQ(processors_allowed(), all);
}

TEST(ThreadPool, EveryThreadTakesPart) {
  ThreadPool pool(3);
  for (int loop = 0; loop < 20; ++loop) {
    // Each piece waits for the others, so the loop ends only if three threads are in it.
    std::atomic<int> started{0};
    pool.run(3, [&](int64_t) {
      ++started;
      while (started.load() < 3) std::this_thread::yield();
    });
  }
}

TEST(ThreadPoolDeathTest, RefusesNoThreads) { EXPECT_DEATH(ThreadPool pool(0), "threads >= 1"); }

TEST(ProcessorsAvailable, IsAtLeastOne) { EXPECT_GE(processors_available(), 1); }

}  // namespace
}  // namespace agora::base
