// How fast a whole training step is: the model of `agora bench engine`, on random tokens.
//
//   AGORA_ASSIGN_OR_RETURN(StepRate rate, measure_steps(step_bench_options(), compute, clock, 6));
//   AGORA_ASSIGN_OR_RETURN(auto run, BenchRun::create(step_bench_options(), compute));   run->step();
//
// One thread at a time.
#pragma once

#include <memory>

#include "agora/base/clock.h"
#include "agora/base/result.h"
#include "agora/kernels/compute.h"
#include "agora/model/model_folder.h"
#include "agora/train/options.h"
#include "agora/train/task.h"
#include "agora/train/trainer.h"

namespace agora::train {

struct StepRate {
  double rows_per_second = 0;  // of the median step
};

// 4 layers, D 256, 4 heads, 16 experts of H 512, top-2, sequence 256, batch 8, vocabulary 1024.
TrainOptions step_bench_options();

// Tokens that are worth a training run's time and take no reading: each follows from the one before it by a
// fixed rule, three times in four, and is random otherwise. Two trainers' streams differ by Task::restore().
std::unique_ptr<Task> make_rule_task(const TrainOptions& options);

// A training run of the options in this process, on that.
class BenchRun {
 public:
  static StatusOr<std::unique_ptr<BenchRun>> create(const TrainOptions& options,
                                                    const kernels::Compute& compute);
  // Forward, backward, clipping, optimizer, balance.
  StatusOr<StepReport> step() { return trainer_.step(); }

 private:
  BenchRun(const TrainOptions& options, const kernels::Compute& compute, std::unique_ptr<Task> task,
           model::LocalModel model);

  std::unique_ptr<Task> task_;
  model::LocalModel model_;
  Trainer trainer_;
};

// Its steps, after a warm-up, for about so many seconds.
StatusOr<StepRate> measure_steps(const TrainOptions& options, const kernels::Compute& compute,
                                 const Clock& clock, double seconds);

}  // namespace agora::train
