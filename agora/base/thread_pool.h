// A fixed set of threads that run the pieces of one loop at a time; the only threads that compute.
//
//   ThreadPool pool(2);                                        // 2 threads in all: the caller is one of them
//   pool.run(pieces, [&](int64_t piece) { ... });              // returns when every piece is done
//   pool.run_ranges(n, grain, [&](int64_t begin, int64_t end) { ... });
//
// Which thread takes which piece is not fixed, so a piece must not depend on it: results are the same for any
// number of threads as long as each output is written by one piece. run() may be called from any thread, one
// loop at a time: a second caller waits. A piece must not call run() on the same pool, but it may on a pool
// of one thread, which runs everything where it is called. No exception may leave a piece.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/functional/function_ref.h"

namespace agora::base {

class ThreadPool {
 public:
  // threads >= 1, counting the caller of run().
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  void run(int64_t pieces, absl::FunctionRef<void(int64_t piece)> body);

  // Splits [0, n) into ranges of `grain` (the last may be shorter); the split does not depend on the number
  // of threads.
  void run_ranges(int64_t n, int64_t grain, absl::FunctionRef<void(int64_t begin, int64_t end)> body);

 private:
  struct Shared;
  int threads_;
  std::unique_ptr<Shared> shared_;
};

// The number of processors this process may run on (its affinity, not the machine's size).
int processors_available();

}  // namespace agora::base
