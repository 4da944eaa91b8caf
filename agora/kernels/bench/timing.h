// Time of the fastest of several runs: what the code can do when nothing else has the machine.
#pragma once

#include <algorithm>

#include "agora/base/clock.h"

namespace agora::kernels {

// Runs `work` once to warm up, then until both a number of runs and a time have passed. Seconds of the
// fastest.
template <class Work>
double best_seconds(Work&& work, double seconds_in_all, int runs_min) {
  const RealClock clock;
  const int64_t begin = clock.now_ns();
  work();
  double best = 1e30;
  for (int run = 0; run < runs_min || static_cast<double>(clock.now_ns() - begin) < seconds_in_all * 1e9;
       ++run) {
    const int64_t start = clock.now_ns();
    work();
    best = std::min(best, static_cast<double>(clock.now_ns() - start) * 1e-9);
  }
  return best;
}

}  // namespace agora::kernels
