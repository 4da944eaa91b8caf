// How fast a whole training step is: the model of `agora bench engine`, on random tokens.
//
//   AGORA_ASSIGN_OR_RETURN(StepRate rate, measure_steps(step_bench_options(), compute, clock, 6));
//
// One thread at a time.
#pragma once

#include <memory>

#include "agora/base/clock.h"
#include "agora/base/result.h"
#include "agora/kernels/compute.h"
#include "agora/train/options.h"
#include "agora/train/task.h"

namespace agora::train {

struct StepRate {
  double rows_per_second = 0;       // of the median step
  double rows_per_second_best = 0;  // of the fastest step: says more on a machine that others use too
  int64_t steps = 0;                // measured
};

// 4 layers, D 256, 4 heads, 16 experts of H 512, top-2, sequence 256, batch 8, vocabulary 1024.
TrainOptions step_bench_options();

// Tokens that are worth a training run's time and take no reading: each follows from the one before it by a
// fixed rule, three times in four, and is random otherwise. Two trainers' streams differ by Task::restore().
std::unique_ptr<Task> make_chain_task(const TrainOptions& options);

// Forward, backward, clipping, optimizer, balance; after a warm-up, for about so many seconds.
StatusOr<StepRate> measure_steps(const TrainOptions& options, const kernels::Compute& compute,
                                 const Clock& clock, double seconds);

}  // namespace agora::train
