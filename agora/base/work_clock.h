// For how long work took: the hours that a machine sleeps in the middle of it do not count.
//
//   WorkClock clock;   const int64_t begin_ns = clock.now_ns();
//   step();            spent_ns += clock.now_ns() - begin_ns;
//
// Deadlines, and what others told, go by RealClock. Any thread.
#pragma once

#include "agora/base/clock.h"

namespace agora {

class WorkClock final : public Clock {
 public:
  int64_t now_ns() const override {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  }
};

}  // namespace agora
