// The lines of `agora bench engine`: what is measured, beside a yardstick of the same run.
#pragma once

#include <string>

#include "absl/functional/function_ref.h"
#include "agora/base/result.h"
#include "agora/kernels/bench/bench_line.h"

namespace agora::cli {

using kernels::BenchLine;

struct EngineBench {
  std::string only;  // lines whose names begin so; empty: all
  std::string
      outside;  // where other people's programs are; those that are not there leave a line without ratio
  double seconds = 2;  // for each measurement
};

// Calls show() with each line as soon as it is measured.
Status bench_engine(const EngineBench& bench, absl::FunctionRef<void(const BenchLine&)> show);

}  // namespace agora::cli
