#include "agora/train/stepper.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agora/optim/adamw.h"
#include "agora/optim/clip.h"
#include "agora/train/batches.h"

namespace agora::train {
namespace {

constexpr float kBeta1 = 0.9f;
constexpr float kEpsilon = 1e-8f;

moe::StepSettings expert_settings(const TrainOptions& options, const StepPlan& plan) {
  return {.step = plan.step,
          .learning_rate = plan.learning_rate,
          .beta1 = kBeta1,
          .beta2 = options.beta2,
          .epsilon = kEpsilon,
          .weight_decay = options.weight_decay,
          .gradient_norm_max = options.gradient_norm_max};
}

Status not_finite(int64_t step, double loss) {
  return absl::InvalidArgumentError(absl::StrCat("step ", step, ": the loss is ", loss,
                                                 "; expected a number. Lower --learning-rate, or look for "
                                                 "values that are not numbers in the data"));
}

}  // namespace

struct Stepper::MicroBatch {
  model::Batch batch;
  Status status;
  nn::LossSum loss;
  std::vector<moe::MoeStats> stats;  // [L]
};

Stepper::Stepper(const TrainOptions& options, const kernels::Compute& compute, model::Model& trunk,
                 moe::Experts& experts, Flight flight)
    : options_(options),
      compute_(compute),
      trunk_(trunk),
      experts_(experts),
      flight_(flight),
      noise_(Rng(options.seed).fork("noise")),
      parameters_(trunk.parameters()) {}

StatusOr<StepReport> Stepper::step(const model::Batch& batch, const StepPlan& plan) {
  std::optional<base::BatonTurn> turn;
  if (flight_.baton != nullptr) turn.emplace(*flight_.baton);
  StepReport report;
  report.step = plan.step;
  report.learning_rate = plan.learning_rate;
  report.rows = batch.rows();
  for (int64_t l = 0; l < trunk_.config().num_hidden_layers; ++l) {
    trunk_.block(LayerId{l}).mixture().clear_loads();
  }
  nn::zero_gradients(parameters_);
  const Status learned = learn(batch, plan, report);
  if (!learned.ok()) {
    experts_.drop_gradients();  // of the micro-batches that came through
    return learned;
  }
  AGORA_RETURN_IF_ERROR(move_parameters(plan, report));
  return report;
}

Status Stepper::learn(const model::Batch& batch, const StepPlan& plan, StepReport& report) {
  const int64_t counted = nn::count_targets(batch.targets);
  const float scale = 1.0f / static_cast<float>(std::max<int64_t>(counted, 1));
  std::vector<MicroBatch> parts;
  for (model::Batch& part : split_batch(batch, options_.micro_batches)) {
    parts.push_back({.batch = std::move(part), .status = {}, .loss = {}, .stats = {}});
  }
  fly(plan, parts, scale);
  for (const MicroBatch& part : parts) AGORA_RETURN_IF_ERROR(part.status);
  summarise(parts, report);
  if (!std::isfinite(report.loss)) return not_finite(report.step, report.loss);
  AGORA_ASSIGN_OR_RETURN(report.gradient_norm, optim::gradient_norm(compute_, parameters_));
  return absl::OkStatus();
}

// The next part, the gradients and the loads are touched only by who holds the baton.
void Stepper::fly(const StepPlan& plan, std::vector<MicroBatch>& parts, float scale) {
  size_t next = 0;
  const auto fly_parts = [&](model::Tape& tape) {
    while (next < parts.size()) {
      const size_t i = next++;
      MicroBatch& part = parts[i];
      model::Pass pass{.compute = compute_};
      pass.call.mode = moe::GateMode::train;
      pass.call.rng = noise_.fork(static_cast<uint64_t>(plan.step - 1) * parts.size() + i);
      pass.call.loss_scale = 1.0f / static_cast<float>(parts.size());
      auto loss = trunk_.learn(pass, part.batch, scale, tape);
      part.status = loss.status();
      if (!loss.ok()) continue;
      part.loss = *loss;
      part.stats = std::move(tape.stats);
    }
  };
  const size_t flights =
      flight_.baton == nullptr ? 1 : std::min(parts.size(), static_cast<size_t>(flight_.in_flight_max));
  while (tapes_.size() < flights) tapes_.push_back(std::make_unique<model::Tape>());
  if (flight_.baton == nullptr) return fly_parts(*tapes_[0]);
  std::vector<base::Loop::Task> together;
  for (size_t f = 0; f < flights; ++f) {
    together.emplace_back([&, f] {
      const base::BatonTurn turn(*flight_.baton);
      fly_parts(*tapes_[f]);
    });
  }
  const base::BatonRest rest(flight_.baton);
  flight_.baton->loop().run_together(std::move(together));
}

void Stepper::summarise(const std::vector<MicroBatch>& parts, StepReport& report) const {
  nn::LossSum loss;
  const int64_t layers = trunk_.config().num_hidden_layers;
  for (const MicroBatch& part : parts) {
    loss.sum += part.loss.sum;
    loss.counted += part.loss.counted;
    for (const moe::MoeStats& stats : part.stats) {
      report.gate_loss += double{stats.aux_loss} + double{stats.z_loss};
      report.routing_entropy += stats.routing_entropy / static_cast<double>(layers * std::ssize(parts));
      report.choices += stats.choices;
      report.choices_arrived += stats.choices_arrived;
    }
  }
  report.loss = loss.mean();
  for (int64_t l = 0; l < layers; ++l) {
    report.max_violation +=
        trunk_.block(LayerId{l}).mixture().spread().max_violation / static_cast<double>(layers);
  }
}

// The trunk's gradients are looked at before the experts move, and the experts of a host before any of them
// moves: in one process a step happens whole or not at all.
Status Stepper::move_parameters(const StepPlan& plan, const StepReport& report) {
  AGORA_RETURN_IF_ERROR(experts_.end_step(expert_settings(options_, plan)));

  optim::AdamWSettings settings;
  settings.learning_rate = plan.learning_rate;
  settings.beta1 = kBeta1;
  settings.beta2 = options_.beta2;
  settings.epsilon = kEpsilon;
  settings.weight_decay = options_.weight_decay;
  settings.gradient_scale = optim::clip_scale(report.gradient_norm, options_.gradient_norm_max);
  optim::adamw_step(compute_, settings, plan.optimizer, parameters_);
  trunk_.repack(compute_);
  return absl::OkStatus();
}

std::span<const int64_t> Stepper::loads(LayerId layer) const { return trunk_.block(layer).mixture().loads(); }

void Stepper::balance_by_own_loads() {
  for (int64_t l = 0; l < trunk_.config().num_hidden_layers; ++l) {
    trunk_.block(LayerId{l}).mixture().move_selection_bias(loads(LayerId{l}));
  }
}

}  // namespace agora::train
