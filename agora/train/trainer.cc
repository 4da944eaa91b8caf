#include "agora/train/trainer.h"

#include "agora/train/run_folder.h"

namespace agora::train {
Trainer::Trainer(const TrainOptions& options, const kernels::Compute& compute, Task& task,
                 model::LocalModel& model)
    : compute_(compute),
      task_(task),
      model_(model),
      stepper_(state_.options, compute, *model.model, *model.experts) {
  state_.options = options;
  state_.steps = options.steps;
  state_.fingerprint = task.fingerprint();
  state_.cursor = task.cursor();
}

void Trainer::restore(const TrainState& state) {
  state_ = state;
  step_began_ = state.step;
  task_.restore(state.cursor);
}

StatusOr<StepReport> Trainer::step() {
  const int64_t next = state_.step + 1;
  AGORA_ASSIGN_OR_RETURN(const StepReport report,
                         stepper_.step(task_.next(), {.step = next,
                                                      .optimizer = state_.optimizer_steps + 1,
                                                      .learning_rate = next_rate(state_)}));
  stepper_.balance_by_own_loads();
  state_.step = next;
  ++state_.optimizer_steps;
  state_.cursor = task_.cursor();
  return report;
}

StatusOr<Evaluation> Trainer::validate(int64_t rows_max) {
  return evaluate(*model_.model, pass(), task_, rows_max);
}

Status Trainer::save(const std::string& dir) { return save_run(state_, model_, dir); }

}  // namespace agora::train
