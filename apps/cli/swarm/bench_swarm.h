// The lines of `agora bench swarm`: what a swarm on this machine costs, beside a yardstick of the same run.
#pragma once

#include <string>

#include "absl/functional/function_ref.h"
#include "agora/base/result.h"
#include "agora/kernels/bench/bench_line.h"

#include "apps/cli/command.h"

namespace agora::cli {

struct SwarmBench {
  std::string only;    // lines whose names begin so; empty: all
  double seconds = 4;  // for each measurement that takes as long as it is given
};

// Calls show() with each line as soon as it is measured. Starts processes of its own and ends them.
Status bench_swarm(const SwarmBench& bench, const Interrupt& interrupt,
                   absl::FunctionRef<void(const kernels::BenchLine&)> show);

}  // namespace agora::cli
