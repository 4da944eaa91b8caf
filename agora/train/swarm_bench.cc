#include "agora/train/swarm_bench.h"

#include <algorithm>

namespace agora::train {

TrainOptions swarm_bench_options() {
  TrainOptions options = step_bench_options();
  options.micro_batches = 4;
  return options;
}

TrainOptions delay_bench_options() {
  TrainOptions options = step_bench_options();
  options.micro_batches = 8;
  options.batch = 64;
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
  std::ranges::sort(rates);
  rate.rows_per_second = rates[rates.size() / 2];
  rate.rows_per_second_best = rates.back();
  rate.loss /= static_cast<double>(std::max<int64_t>(losses, 1));
  rate.lost_share = static_cast<double>(lost) / static_cast<double>(std::max<int64_t>(choices, 1));
  rate.steps = steps.steps;
  return rate;
}

}  // namespace agora::train
