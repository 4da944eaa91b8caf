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
  options.batch = 128;
  return options;
}

StatusOr<SwarmRate> measure_swarm_steps(SwarmTrainer& trainer, const Clock& clock,
                                        const SwarmBenchSteps& steps) {
  for (int64_t i = 0; i < steps.warm; ++i) AGORA_RETURN_IF_ERROR(trainer.step().status());
  std::vector<double> rates;
  SwarmRate rate;
  uint64_t lost = 0;
  int64_t choices = 0, losses = 0;
  for (int64_t i = 0; i < steps.steps; ++i) {
    const int64_t begin = clock.now_ns();
    AGORA_ASSIGN_OR_RETURN(const SwarmStepReport report, trainer.step());
    rates.push_back(static_cast<double>(report.rows) * 1e9 / static_cast<double>(clock.now_ns() - begin));
    lost += report.mix.lost;
    choices += report.choices;
    if (4 * (i + 1) <= 3 * steps.steps) continue;
    rate.loss += report.loss;
    ++losses;
  }
  rate.rows_per_second = median(rates);
  rate.rows_per_second_best = *std::ranges::max_element(rates);
  rate.loss /= static_cast<double>(std::max<int64_t>(losses, 1));
  rate.lost_share = static_cast<double>(lost) / static_cast<double>(std::max<int64_t>(choices, 1));
  rate.steps = steps.steps;
  return rate;
}

Status BenchSide::round(const std::function<StatusOr<StepReport>()>& step, const Clock& clock,
                        const std::function<int64_t()>& cpu_so_far, const BenchRounds& rounds) {
  for (int64_t i = 0; i < rounds.warm; ++i) AGORA_RETURN_IF_ERROR(step().status());
  const int64_t cpu_before_ns = cpu_so_far();
  for (int64_t i = 0; i < rounds.steps; ++i) {
    const int64_t begin_ns = clock.now_ns();
    AGORA_ASSIGN_OR_RETURN(const StepReport report, step());
    rates.push_back(static_cast<double>(report.rows) * 1e9 / static_cast<double>(clock.now_ns() - begin_ns));
    rows += report.rows;
  }
  cpu_ns += cpu_so_far() - cpu_before_ns;
  return absl::OkStatus();
}

SideRate BenchSide::rate() const {
  return {median(rates), static_cast<double>(cpu_ns) / 1e3 / static_cast<double>(rows)};
}

}  // namespace agora::train
