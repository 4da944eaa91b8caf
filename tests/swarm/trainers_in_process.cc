#include "tests/swarm/trainers_in_process.h"

#include <thread>

#include "agora/base/check.h"
#include "agora/kernels/cpu_features.h"
#include "agora/kernels/table.h"
#include "agora/train/swarm_spec.h"

namespace agora::tests {
namespace {

constexpr int64_t kJoinNs = 20 * base::kSecondNs;

swarm::SwarmSpec spec_of(const train::TrainOptions& options, const model::ModelConfig& config,
                         swarm::UpdateMode updates) {
  swarm::SwarmSpec spec = train::spec_of(config);
  spec.name = "test";
  spec.bf16 = false;
  spec.seed = options.seed;
  spec.updates = updates;
  spec.step.learning_rate = options.learning_rate;
  spec.step.beta2 = options.beta2;
  spec.step.weight_decay = options.weight_decay;
  spec.step.gradient_norm_max = options.gradient_norm_max;
  return spec;
}

// Tells of every batch.
class WatchedTask final : public train::Task {
 public:
  WatchedTask(std::unique_ptr<train::Task> inner, std::function<void()> on_batch)
      : inner_(std::move(inner)), on_batch_(std::move(on_batch)) {}

  model::ModelConfig shape(model::ModelConfig config) const override { return inner_->shape(config); }
  void restart(const train::TrainOptions& options) override { inner_->restart(options); }
  model::Batch next() override {
    if (on_batch_) on_batch_();
    return inner_->next();
  }
  Rng::State cursor() const override { return inner_->cursor(); }
  void restore(Rng::State cursor) override { inner_->restore(cursor); }
  std::vector<model::Batch> validation(int64_t domain, int64_t rows_max) const override {
    return inner_->validation(domain, rows_max);
  }
  const std::vector<train::DomainSummary>& domains() const override { return inner_->domains(); }
  const std::vector<std::string>& notes() const override { return inner_->notes(); }
  const std::string& fingerprint() const override { return inner_->fingerprint(); }
  train::SharedTokenizer tokenizer() const override { return inner_->tokenizer(); }

 private:
  const std::unique_ptr<train::Task> inner_;
  const std::function<void()> on_batch_;
};

}  // namespace

TrainersInProcess::TrainersInProcess(const train::TrainOptions& options, const TrainersConfig& config)
    : options_(options),
      own_file_(config.own_file),
      on_batch_(config.on_batch),
      in_flight_max_(config.in_flight_max) {
  base::ThreadPool pool(1);
  const auto task = train::make_task(options, nullptr, pool);
  AGORA_CHECK(task.ok());
  spec_ = spec_of(options, (*task)->shape(*train::config_of(options)), config.updates);
  if (config.change_spec) config.change_spec(spec_);
  hosts_ =
      std::make_unique<HostsInProcess>(spec_, HostsConfig{.held = contiguous(spec_.experts, config.hosts),
                                                          .transport = {},
                                                          .weights = swarm::first_weights(spec_),
                                                          .host = {}});
  for (size_t i = 0; i < config.trainers; ++i) add_trainer();
}

TrainersInProcess::~TrainersInProcess() {
  for (size_t i = 0; i < members_.size(); ++i) stop(i);
}

size_t TrainersInProcess::add_trainer() {
  auto member = std::make_unique<Member>();
  auto task = train::make_task(options_, nullptr, member->pool);
  AGORA_CHECK(task.ok());
  member->task = std::make_unique<WatchedTask>(*std::move(task), on_batch_);
  member->transport = hosts_->make_transport();
  const kernels::Compute compute{&kernels::best_table(kernels::cpu_features()), &member->pool,
                                 kernels::Precision::f32};
  auto trainer = train::SwarmTrainer::create(
      {.loop = hosts_->loop(), .transport = *member->transport, .directory = hosts_->directory()}, spec_,
      options_, compute, *member->task,
      {.in_flight_max = in_flight_max_,
       .rows = swarm::RowDtype::f32,
       .own_file = own_file_,
       .patience = {.patience_ns = 5 * base::kSecondNs}});
  AGORA_CHECK(trainer.ok());
  member->trainer = *std::move(trainer);
  const Status joined = member->trainer->join(kJoinNs);
  AGORA_CHECK(joined.ok());
  say(*member);
  members_.push_back(std::move(member));
  return members_.size() - 1;
}

void TrainersInProcess::say(Member& member) {
  swarm::PeerState state;
  member.trainer->describe(state);
  hosts_->directory().say(member.transport->self(), member.transport->endpoint(), state);
}

void TrainersInProcess::take_steps(Member& member, int64_t steps) {
  for (int64_t i = 0; i < steps; ++i) {
    auto report = member.trainer->step();
    AGORA_CHECK(report.ok());
    member.last = *std::move(report);
    say(member);
  }
}

void TrainersInProcess::run(int64_t steps) {
  std::vector<std::thread> threads;
  for (const auto& member : members_) {
    if (member->trainer != nullptr)
      threads.emplace_back([this, steps, &member] { take_steps(*member, steps); });
  }
  for (std::thread& thread : threads) thread.join();
}

void TrainersInProcess::stop(size_t i) {
  Member& member = *members_[i];
  if (member.trainer == nullptr) return;
  member.transport->stop();
  member.trainer.reset();
  hosts_->directory().gone(member.transport->self());
  // What the trainer had posted holds the transport: let it pass.
  base::Mutex mutex;
  base::Condition passed;
  bool done = false;
  hosts_->loop().post([&] {
    base::MutexLock lock(mutex);
    done = true;
    passed.wake_all();
  });
  base::MutexLock lock(mutex);
  while (!done) passed.wait(mutex);
}

double TrainersInProcess::validation_loss(size_t i) {
  auto evaluation = members_[i]->trainer->validate(0);
  AGORA_CHECK(evaluation.ok());
  return evaluation->total.loss();
}

}  // namespace agora::tests
