// One training run: a model, its data, and the steps between.
//
//   Trainer trainer(options, compute, *task, local_model);
//   while (!trainer.done()) { AGORA_ASSIGN_OR_RETURN(StepReport report, trainer.step()); ... }
//   AGORA_RETURN_IF_ERROR(trainer.save(dir));
//
// A step is deterministic: the same options, data and state give the same bits for any number of threads,
// also when the run was saved and resumed between. Time decides one thing only: with options.steps == 0 the
// number of steps is fixed once, by plan_steps(), and then saved with the run. One thread at a time.
#pragma once

#include <string>

#include "agora/model/model_folder.h"
#include "agora/train/evaluate.h"
#include "agora/train/stepper.h"
#include "agora/train/task.h"
#include "agora/train/train_state.h"

namespace agora::train {

class Trainer {
 public:
  Trainer(const TrainOptions& options, const kernels::Compute& compute, Task& task, model::LocalModel& model);

  // Goes on where a checkpoint was: options, counters and data cursor; the tensors are read by load_run().
  void restore(const TrainState& state);

  // Forward, backward, clip, optimizer, balance. InvalidArgument: a loss or gradient that is not finite,
  // named; the weights are then those before the step.
  StatusOr<StepReport> step();

  // steps() == 0 until the number is known.
  int64_t steps() const { return state_.steps; }
  int64_t steps_done() const { return state_.step; }
  bool done() const { return state_.steps > 0 && state_.step >= state_.steps; }
  // Of steps that this process took: it has the times of no others.
  bool needs_plan() const { return state_.steps == 0 && state_.step - step_began_ >= kStepsBeforePlan; }
  void plan_steps(double seconds_left, double seconds_per_step) {
    train::plan_steps(state_, seconds_left, seconds_per_step);
  }
  void add_seconds(double seconds) { state_.seconds += seconds; }

  StatusOr<Evaluation> validate(int64_t rows_max);
  const TrainState& state() const { return state_; }
  model::LocalModel& model() { return model_; }
  model::Pass pass() const { return {.compute = compute_}; }

  // Writes model and training state as one folder that appears whole or not at all.
  Status save(const std::string& dir);

 private:
  kernels::Compute compute_;
  Task& task_;
  model::LocalModel& model_;
  TrainState state_;
  int64_t step_began_ = 0;  // where this process went on
  Stepper stepper_;
};

}  // namespace agora::train
