// The yardstick of swarm_vs_process: one process that trains the bench's model, a round at a time, on order.
//
//   AGORA_ASSIGN_OR_RETURN(auto alone, AloneProcess::start(2));
//   AGORA_RETURN_IF_ERROR(alone->round());   alone->side().rate();
//
// A process of its own, so that neither side's memory is in the other's way. It is forked: start it before
// this process has threads that compute. It ends with the object. Main's thread.
#pragma once

#include <cstdint>
#include <memory>

#include "agora/base/result.h"
#include "agora/train/swarm_bench.h"
#include <sys/types.h>

namespace agora::cli {

// What a process has spent so far; 0: there is no such process.
int64_t cpu_ns_of(pid_t process);

class AloneProcess {
 public:
  // Warmed up when it returns.
  static StatusOr<std::unique_ptr<AloneProcess>> start(int threads);
  ~AloneProcess();

  // It computes meanwhile, and stands still afterwards.
  Status round();
  const train::BenchSide& side() const { return side_; }

 private:
  AloneProcess(pid_t process, int socket) : process_(process), socket_(socket) {}

  const pid_t process_;
  const int socket_;
  train::BenchSide side_;
};

}  // namespace agora::cli
