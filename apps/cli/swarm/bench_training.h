// How fast a swarm of processes trains, for `agora bench swarm`: 4 hosts of their own, one trainer here.
//
//   AGORA_ASSIGN_OR_RETURN(TrainingBench t, bench_swarm_training(6, interrupt));
//
// See agora/train/swarm_bench.h for what is measured. Main's thread; starts processes and ends them.
#pragma once

#include "agora/base/result.h"

#include "apps/cli/command.h"

namespace agora::cli {

struct TrainingBench {
  int threads = 1;
  double swarm_rows_per_s = 0;
  double process_rows_per_s = 0;  // the same model, in this process alone, on the same cores
};
StatusOr<TrainingBench> bench_swarm_training(double seconds, const Interrupt& interrupt);

struct DelayBench {
  int threads = 1;
  double direct_rows_per_s = 0;
  double delayed_rows_per_s = 0;
  double loss_direct = 0;  // after as many tokens
  double loss_delayed = 0;
};
StatusOr<DelayBench> bench_hidden_delay(const Interrupt& interrupt);

}  // namespace agora::cli
