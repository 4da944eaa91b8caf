#include "agora/optim/schedule.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"

namespace agora::optim {

Status validate(const Schedule& s) {
  if (!std::isfinite(s.peak) || s.peak < 0.0f) {
    return absl::InvalidArgumentError(
        absl::StrFormat("learning rate: expected a finite number >= 0, got %g", s.peak));
  }
  if (!std::isfinite(s.floor) || s.floor < 0.0f || s.floor > s.peak) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "final learning rate: expected a number from 0 to %g (the peak), got %g", s.peak, s.floor));
  }
  if (s.warmup_steps < 0) {
    return absl::InvalidArgumentError(
        absl::StrFormat("warm-up steps: expected >= 0, got %d", s.warmup_steps));
  }
  if (s.shape == ScheduleShape::constant) return absl::OkStatus();
  if (s.steps < std::max<int64_t>(1, s.warmup_steps)) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "steps: expected >= 1 and >= %d (the warm-up's steps), got %d", s.warmup_steps, s.steps));
  }
  if (s.shape == ScheduleShape::warm_stable_decay &&
      (s.decay_steps < 0 || s.decay_steps > s.steps - s.warmup_steps)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("decay steps: expected 0 to %d (the steps after warm-up), got %d",
                        s.steps - s.warmup_steps, s.decay_steps));
  }
  return absl::OkStatus();
}

float learning_rate(const Schedule& s, int64_t step) {
  if (step < s.warmup_steps) {
    return s.peak * static_cast<float>(step) / static_cast<float>(s.warmup_steps);
  }
  // How much of the way from peak to floor is done, from 0 to 1.
  const auto share = [step](int64_t begin, int64_t end) {
    if (step >= end) return 1.0;
    return std::max(0.0, static_cast<double>(step - begin) / static_cast<double>(end - begin));
  };
  double done = 0.0;
  if (s.shape == ScheduleShape::cosine) {
    done = 0.5 - 0.5 * std::cos(M_PI * share(s.warmup_steps, s.steps));
  } else if (s.shape == ScheduleShape::warm_stable_decay && s.decay_steps > 0) {
    done = share(s.steps - s.decay_steps, s.steps);
  }
  return static_cast<float>(s.peak + (double{s.floor} - s.peak) * done);
}

}  // namespace agora::optim
