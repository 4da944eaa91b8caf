// How fast a swarm of processes trains, for `agora bench swarm`: 4 hosts of their own, one trainer here.
//
//   AGORA_ASSIGN_OR_RETURN(SwarmBesideProcess t, bench_swarm_training(2, interrupt));
//
// See agora/train/swarm_bench.h for what is measured. Main's thread; starts processes and ends them.
#pragma once

#include "agora/base/result.h"
#include "agora/train/swarm_bench.h"

#include "apps/cli/command.h"

namespace agora::cli {

struct SwarmBesideProcess {
  train::SideRate swarm, process;
};
// threads: of the one process, and of the trainer. Hosts have all, on the same cores.
StatusOr<SwarmBesideProcess> bench_swarm_training(int threads, const Interrupt& interrupt);

struct DelayBench {
  int threads = 1;
  train::SideRate direct, delayed;
};
StatusOr<DelayBench> bench_hidden_delay(const Interrupt& interrupt);

}  // namespace agora::cli
