// What a run is besides its tensors; saved in every checkpoint.
//
//   const float rate = next_rate(state);   plan_steps(state, seconds_left, seconds_per_step);
//
// Values; any thread.
#pragma once

#include <string>

#include "agora/base/rng.h"
#include "agora/train/options.h"

namespace agora::train {

struct TrainState {
  TrainOptions options;
  int64_t step = 0;  // done
  int64_t optimizer_steps =
      0;                    // that the trunk's moments have seen: fewer than `step` where others took some
  int64_t steps = 0;        // in all; 0: not planned yet
  Rng::State cursor;        // of the data
  std::string fingerprint;  // of the data
  double seconds = 0;       // spent so far
};

// Steps that a process takes before plan_steps() may look at their rate.
constexpr int64_t kStepsBeforePlan = 25;
// Of these, not counted when the rate is measured: caches and pages are cold.
constexpr int64_t kWarmSteps = 5;
// Of the planned time; validation and saving take the rest.
constexpr double kShareForTraining = 0.93;

// The learning rate of the step after the last one. Without a plan: still warming up.
float next_rate(const TrainState& state);

// Fixes the number of steps: as many as fit into the seconds that are left at this rate, never fewer than the
// warm-up.
void plan_steps(TrainState& state, double seconds_left, double seconds_per_step);

}  // namespace agora::train
