// The learning rate as a function of the step: linear warm-up, then constant, cosine, or stable-then-decay.
//
//   Schedule schedule{.shape = ScheduleShape::cosine, .peak = 3e-3f, .floor = 3e-4f, .warmup_steps = 100,
//   .steps = 2000}; AGORA_RETURN_IF_ERROR(validate(schedule)); float rate = learning_rate(schedule, step); //
//   step counts from 1
//
// A value type; any thread.
#pragma once

#include <cstdint>

#include "agora/base/result.h"

namespace agora::optim {

enum class ScheduleShape : uint8_t {
  constant,
  cosine,  // half a cosine from peak to floor over the steps after warm-up (Loshchilov & Hutter 2017)
  warm_stable_decay,  // peak until the last decay_steps, then linear to floor (Hu 2024, WSD)
};

struct Schedule {
  ScheduleShape shape = ScheduleShape::constant;
  float peak = 1e-3f;
  float floor = 0.0f;
  int64_t warmup_steps = 0;  // step i <= warmup_steps has the rate peak * i / warmup_steps
  int64_t steps = 0;         // all steps, warm-up and decay counted; not used by constant
  int64_t decay_steps = 0;   // warm_stable_decay only
};

// InvalidArgument that names the field, what was expected and what came.
Status validate(const Schedule& schedule);

// Steps after the last keep the last rate.
float learning_rate(const Schedule& schedule, int64_t step);

}  // namespace agora::optim
