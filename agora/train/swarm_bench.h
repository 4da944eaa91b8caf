// How fast a swarm trains, beside one process; and how much of a network's delay it hides.
//
//   measure_steps(step_bench_options(), compute, clock, 6)      // one process
//   measure_swarm_steps(*trainer, clock, {})                    // hosts and a SwarmTrainer, its
//                                                               // specification swarm_bench_options()
//   swarm_vs_process = swarm.rows_per_second / process.rows_per_second
//
// With delay_bench_options(), once over the trainer's own transport and once over a FaultyTransport of 50 ms
// each way around it: delay_hidden_share = delayed.rows_per_second / direct.rows_per_second. The losses after
// the same steps say that nothing else was given up.
//
// Both kinds of options go with make_chain_task(). Measures what is there: starting hosts is the caller's.
// One thread.
#pragma once

#include "agora/train/step_bench.h"
#include "agora/train/swarm_trainer.h"

namespace agora::train {

struct SwarmRate {
  double rows_per_second = 0;       // of the median step
  double rows_per_second_best = 0;  // of the fastest
  double loss = 0;        // mean of the last quarter of the steps: after the same number of tokens it is
                          // comparable
  double lost_share = 0;  // of the choices
  int64_t steps = 0;      // measured
};

struct SwarmBenchSteps {
  int64_t warm = 3;
  int64_t steps = 12;
};

// The engine's model (step_bench.h), a batch in 4 micro-batches.
TrainOptions swarm_bench_options();
// 8 micro-batches of 2,048 rows in flight: while one is on its way (two delays for each of 4 layers, forward
// and back) the trainer and the hosts have seven others to work on.
TrainOptions delay_bench_options();

StatusOr<SwarmRate> measure_swarm_steps(SwarmTrainer& trainer, const Clock& clock,
                                        const SwarmBenchSteps& steps);

}  // namespace agora::train
