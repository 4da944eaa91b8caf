#include "agora/train/train_state.h"

#include <algorithm>

#include "agora/optim/schedule.h"

namespace agora::train {
namespace {

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

float next_rate(const TrainState& state) {
  const int64_t next = state.step + 1;
  if (state.steps == 0) {
    const auto share = static_cast<float>(next) / static_cast<float>(state.options.warmup);
    return state.options.learning_rate * std::min(share, 1.0f);
  }
  return optim::learning_rate(schedule_of(state), next);
}

void plan_steps(TrainState& state, double seconds_left, double seconds_per_step) {
  const double more = std::max(seconds_left, 0.0) / std::max(seconds_per_step, 1e-6);
  state.steps = std::max(state.step + static_cast<int64_t>(more), state.options.warmup + 1);
}

}  // namespace agora::train
