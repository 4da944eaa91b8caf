#include "agora/train/swarm_bench.h"

#include <algorithm>

namespace agora::train {
namespace {

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

}  // namespace

TrainOptions swarm_bench_options() {
  TrainOptions options = step_bench_options();
  options.micro_batches = 2;
  return options;
}

TrainOptions delay_bench_options() {
  TrainOptions options = step_bench_options();
  options.micro_batches = 16;
  options.batch = 256;
  return options;
}

Status BenchSide::round(const std::function<StatusOr<StepReport>()>& step, const Clock& clock,
                        const std::function<int64_t()>& cpu_so_far, const BenchRounds& rounds) {
  for (int64_t i = 0; i < rounds.warm; ++i) AGORA_RETURN_IF_ERROR(step().status());
  const int64_t cpu_before_ns = cpu_so_far();
  double losses = 0;
  for (int64_t i = 0; i < rounds.steps; ++i) {
    const int64_t begin_ns = clock.now_ns();
    AGORA_ASSIGN_OR_RETURN(const StepReport report, step());
    rates.push_back(static_cast<double>(report.rows) * 1e9 / static_cast<double>(clock.now_ns() - begin_ns));
    rows += report.rows;
    losses += report.loss;
  }
  cpu_ns += cpu_so_far() - cpu_before_ns;
  loss = losses / static_cast<double>(rounds.steps);
  return absl::OkStatus();
}

SideRate BenchSide::rate() const {
  return {.rows_per_second = median(rates),
          .cpu_us_per_row = static_cast<double>(cpu_ns) / 1e3 / static_cast<double>(rows),
          .loss = loss};
}

}  // namespace agora::train
