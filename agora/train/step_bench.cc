#include "agora/train/step_bench.h"

#include <algorithm>
#include <utility>

namespace agora::train {
namespace {

constexpr int64_t kStepsMin = 10;

constexpr uint32_t kRuleOf = 4;  // three of four tokens follow the rule

class RuleTask final : public Task {
 public:
  explicit RuleTask(const TrainOptions& options) : options_(options), rng_(options.seed) {}

  model::ModelConfig shape(model::ModelConfig config) const override {
    config.vocab_size = options_.vocabulary;
    config.max_position_embeddings = options_.sequence;
    return config;
  }
  void restart(const TrainOptions& options) override { rng_ = Rng(options.seed); }
  model::Batch next() override {
    model::Batch batch{.batch = options_.batch, .length = options_.sequence};
    for (int64_t b = 0; b < batch.batch; ++b) {
      uint32_t token = rng_.below(vocabulary());
      for (int64_t i = 0; i < batch.length; ++i) {
        batch.tokens.push_back(static_cast<int32_t>(token));
        token = rng_.below(kRuleOf) == 0 ? rng_.below(vocabulary()) : (token * 5 + 17) % vocabulary();
        batch.targets.push_back(static_cast<int32_t>(token));
      }
    }
    batch.domains.assign(static_cast<size_t>(batch.batch), 0);
    return batch;
  }
  Rng::State cursor() const override { return rng_.state(); }
  void restore(Rng::State cursor) override { rng_ = Rng(cursor); }
  std::vector<model::Batch> validation(int64_t, int64_t) const override { return {}; }
  const std::vector<DomainSummary>& domains() const override { return domains_; }
  const std::vector<std::string>& notes() const override { return nothing_; }
  const std::string& fingerprint() const override { return fingerprint_; }
  SharedTokenizer tokenizer() const override { return nullptr; }

 private:
  uint32_t vocabulary() const { return static_cast<uint32_t>(options_.vocabulary); }

  TrainOptions options_;
  Rng rng_;
  std::vector<DomainSummary> domains_;
  std::vector<std::string> nothing_;
  std::string fingerprint_;
};

}  // namespace

std::unique_ptr<Task> make_rule_task(const TrainOptions& options) {
  return std::make_unique<RuleTask>(options);
}

TrainOptions step_bench_options() {
  TrainOptions options;
  options.vocabulary = 1024;
  options.hidden = 512;
  options.steps = 1'000'000;
  return options;
}

BenchRun::BenchRun(const TrainOptions& options, const kernels::Compute& compute, std::unique_ptr<Task> task,
                   model::LocalModel model)
    : task_(std::move(task)), model_(std::move(model)), trainer_(options, compute, *task_, model_) {}

StatusOr<std::unique_ptr<BenchRun>> BenchRun::create(const TrainOptions& options,
                                                     const kernels::Compute& compute) {
  auto task = make_rule_task(options);
  AGORA_ASSIGN_OR_RETURN(const model::ModelConfig config, config_of(options));
  AGORA_ASSIGN_OR_RETURN(
      model::LocalModel model,
      model::make_model(task->shape(config), compute, tensor::Train::yes, Rng(options.seed).fork("weights")));
  return std::unique_ptr<BenchRun>(new BenchRun(options, compute, std::move(task), std::move(model)));
}

StatusOr<StepRate> measure_steps(const TrainOptions& options, const kernels::Compute& compute,
                                 const Clock& clock, double seconds) {
  AGORA_ASSIGN_OR_RETURN(const std::unique_ptr<BenchRun> run, BenchRun::create(options, compute));
  for (int64_t i = 0; i < kWarmSteps; ++i) AGORA_RETURN_IF_ERROR(run->step().status());
  std::vector<double> times;
  double spent = 0;
  while (spent < seconds || static_cast<int64_t>(times.size()) < kStepsMin) {
    const int64_t begin = clock.now_ns();
    AGORA_RETURN_IF_ERROR(run->step().status());
    times.push_back(static_cast<double>(clock.now_ns() - begin) * 1e-9);
    spent += times.back();
  }
  std::ranges::sort(times);
  const auto rows = static_cast<double>(options.batch * options.sequence);
  return StepRate{rows / times[times.size() / 2]};
}

}  // namespace agora::train
