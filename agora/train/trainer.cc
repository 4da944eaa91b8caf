#include "agora/train/trainer.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "agora/nn/loss.h"
#include "agora/optim/adamw.h"
#include "agora/optim/clip.h"
#include "agora/optim/schedule.h"
#include "agora/train/run_folder.h"

namespace agora::train {
namespace {

constexpr float kBeta1 = 0.9f;
constexpr float kEpsilon = 1e-8f;
constexpr double kDecayShare = 0.2;  // of a warm-stable-decay schedule's steps

optim::Schedule schedule_of(const TrainState& state) {
  const TrainOptions& o = state.options;
  optim::Schedule schedule;
  schedule.peak = o.learning_rate;
  schedule.floor = o.learning_rate * o.learning_rate_end;
  schedule.warmup_steps = o.warmup;
  schedule.steps = state.steps;
  if (o.schedule == "cosine") schedule.shape = optim::ScheduleShape::cosine;
  if (o.schedule == "wsd") {
    schedule.shape = optim::ScheduleShape::warm_stable_decay;
    schedule.decay_steps = static_cast<int64_t>(kDecayShare * static_cast<double>(state.steps));
  }
  return schedule;
}

}  // namespace

Trainer::Trainer(const TrainOptions& options, const kernels::Compute& compute, Task& task,
                 model::LocalModel& model)
    : compute_(compute), task_(task), model_(model), trunk_(model.model->parameters()) {
  state_.options = options;
  state_.steps = options.steps;
  state_.fingerprint = task.fingerprint();
}

void Trainer::restore(const TrainState& state) {
  state_ = state;
  task_.restore(state.cursor);
}

float Trainer::rate() const {
  const int64_t next = state_.step + 1;
  if (state_.steps == 0) {  // not planned yet: still warming up
    const auto share = static_cast<float>(next) / static_cast<float>(state_.options.warmup);
    return state_.options.learning_rate * std::min(share, 1.0f);
  }
  return optim::learning_rate(schedule_of(state_), next);
}

void Trainer::plan_steps(double seconds_left, double seconds_per_step) {
  const double more = std::max(seconds_left, 0.0) / std::max(seconds_per_step, 1e-6);
  state_.steps = std::max(state_.step + static_cast<int64_t>(more), state_.options.warmup + 1);
}

StatusOr<StepReport> Trainer::step() {
  const model::Batch batch = task_.next();
  const int64_t counted = nn::count_targets(batch.targets);
  model::Pass pass{.compute = compute_};
  pass.call.mode = moe::GateMode::train;
  pass.call.rng = Rng(state_.options.seed).fork("noise").fork(static_cast<uint64_t>(state_.step));
  nn::zero_gradients(trunk_);
  const float scale = 1.0f / static_cast<float>(std::max<int64_t>(counted, 1));
  AGORA_ASSIGN_OR_RETURN(const nn::LossSum loss, model_.model->learn(pass, batch, scale, tape_));

  StepReport report;
  report.step = state_.step + 1;
  report.loss = loss.mean();
  report.rows = batch.rows();
  if (!std::isfinite(report.loss)) {
    return absl::InvalidArgumentError(absl::StrCat("step ", report.step, ": the loss is ", report.loss,
                                                   "; expected a number. Lower --learning-rate, or look for "
                                                   "values that are not numbers in the data"));
  }
  AGORA_RETURN_IF_ERROR(move_parameters(report));
  balance(report);
  state_.step = report.step;
  state_.cursor = task_.cursor();
  return report;
}

// The trunk's gradients are looked at before the experts move, and the experts look at theirs before any of
// them moves: a step happens whole or not at all.
Status Trainer::move_parameters(StepReport& report) {
  const TrainOptions& o = state_.options;
  report.learning_rate = rate();
  AGORA_ASSIGN_OR_RETURN(report.gradient_norm, optim::gradient_norm(compute_, trunk_));
  moe::StepSettings experts;
  experts.step = report.step;
  experts.learning_rate = report.learning_rate;
  experts.beta1 = kBeta1;
  experts.beta2 = o.beta2;
  experts.epsilon = kEpsilon;
  experts.weight_decay = o.weight_decay;
  experts.gradient_norm_max = o.gradient_norm_max;
  AGORA_RETURN_IF_ERROR(model_.experts->end_step(experts));

  optim::AdamWSettings settings;
  settings.learning_rate = report.learning_rate;
  settings.beta1 = kBeta1;
  settings.beta2 = o.beta2;
  settings.epsilon = kEpsilon;
  settings.weight_decay = o.weight_decay;
  settings.gradient_scale = optim::clip_scale(report.gradient_norm, o.gradient_norm_max);
  optim::adamw_step(compute_, settings, report.step, trunk_);
  model_.model->repack(compute_);
  return absl::OkStatus();
}

void Trainer::balance(StepReport& report) {
  const auto layers = static_cast<double>(tape_.stats.size());
  for (const moe::MoeStats& stats : tape_.stats) {
    report.gate_loss += double{stats.aux_loss} + double{stats.z_loss};
    report.max_violation += stats.spread.max_violation / layers;
    report.routing_entropy += stats.routing_entropy / layers;
  }
  for (int64_t l = 0; l < model_.config().num_hidden_layers; ++l) {
    moe::MoeLayer& mixture = model_.model->block(LayerId{l}).mixture();
    mixture.move_selection_bias(mixture.loads());
    mixture.clear_loads();
  }
}

StatusOr<Evaluation> Trainer::validate(int64_t rows_max) {
  return evaluate(*model_.model, pass(), task_, rows_max);
}

Status Trainer::save(const std::string& dir) { return save_run(state_, model_, dir); }

}  // namespace agora::train
