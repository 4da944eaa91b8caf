// How fast a swarm trains, beside one process; and how much of a network's delay it hides.
//
//   AGORA_RETURN_IF_ERROR(process.round([&] { return run->step(); }, clock, cpu_ns, {}));   // a BenchRun
//   AGORA_RETURN_IF_ERROR(swarm.round([&] { return trainer->step(); }, clock, cpu_ns, {}));
//   swarm_vs_process = swarm.rate().rows_per_second / process.rate().rows_per_second
//
// A swarm over its own transport and one over a FaultyTransport of 50 ms each way, both with
// delay_bench_options(): delay_hidden_share = delayed.rate().rows_per_second / direct.rate().rows_per_second.
// The losses after the same steps say that nothing else was given up.
//
// Both kinds of options go with make_rule_task(). Measures what is there: starting hosts is the caller's.
// One thread.
#pragma once

#include <functional>
#include <vector>

#include "agora/train/step_bench.h"
#include "agora/train/swarm_trainer.h"

namespace agora::train {

// The engine's model (step_bench.h), a batch in 2 micro-batches: the fewest that let trainer and hosts work
// at the same time, and the largest messages.
TrainOptions swarm_bench_options();
// 16 micro-batches of 4,096 rows, of which 8 are in flight: while one is on its way (two delays for each of 4
// layers, forward and back) the trainer and the hosts have seven others to work on. That must take them
// longer than the way, 100 ms, in the forward pass too, in which all eight are at first: for micro-batches of
// 2,048 rows two cores need about 90. At the end of a step the last call has nobody to hide behind.
TrainOptions delay_bench_options();

struct SideRate {
  double rows_per_second = 0;  // of the median step
  double cpu_us_per_row = 0;   // of all processes of the side: says more on a machine that others use too
  double loss = 0;             // mean of the last round's steps: comparable after the same number of steps
};

// Two sides are measured in rounds that alternate: what else goes on in the machine disturbs both alike.
struct BenchRounds {
  int64_t warm = 2;   // steps of a round that are not counted
  int64_t steps = 8;  // that are
};

struct BenchSide {
  std::vector<double> rates;  // rows per second, of each counted step
  int64_t rows = 0, cpu_ns = 0;
  double loss = 0;  // of the last round

  // cpu_so_far: nanoseconds that all processes of the side have spent.
  Status round(const std::function<StatusOr<StepReport>()>& step, const Clock& clock,
               const std::function<int64_t()>& cpu_so_far, const BenchRounds& rounds);
  SideRate rate() const;  // at least one round has been measured
};

}  // namespace agora::train
