#include "agora/sim/trainer_role.h"

#include <utility>

#include "agora/base/check.h"
#include "agora/train/swarm_spec.h"

namespace agora::sim {
namespace {

constexpr int64_t kJoinNs = 60 * kSecondNs;

train::BatchShape batch_shape(const train::TrainOptions& options) {
  return {.batch = options.batch, .length = options.sequence};
}

}  // namespace

train::TrainOptions tiny_options(int64_t layers, int64_t experts, int64_t chosen) {
  train::TrainOptions options;
  options.layers = layers;
  options.width = 8;
  options.heads = 1;
  options.hidden = 8;
  options.experts = experts;
  options.chosen = chosen;
  options.sequence = 8;
  options.batch = 4;
  options.micro_batches = 2;
  options.steps = 1'000'000;
  options.learning_rate = 1e-2f;
  options.schedule = "constant";
  options.warmup = 0;
  options.precision = "f32";
  return options;
}

swarm::SwarmSpec trained_spec(const train::TrainOptions& options, uint64_t chain, int32_t replicas) {
  const auto trunk = train::config_of(options);
  AGORA_CHECK(trunk.ok());
  const model::ModelConfig config = ChainTask(batch_shape(options), chain).shape(*trunk);
  swarm::SwarmSpec spec = train::spec_of(config);
  spec.name = "simulated";
  spec.bf16 = false;
  spec.replicas = replicas;
  spec.step.learning_rate = options.learning_rate;
  spec.rows_per_step = 16;
  return spec;
}

TrainerRole::TrainerRole(Process& process, const swarm::SwarmSpec& spec, const kernels::Compute& compute,
                         const TrainerSettings& settings)
    : process_(process),
      settings_(settings),
      task_(batch_shape(settings.options), settings.chain),
      until_stopped_(*process.loop) {
  train::SwarmTrainerConfig config;
  config.run = static_cast<uint64_t>(process.loop->world_now_ns()) + 1;
  config.in_flight_max = settings.options.micro_batches;
  config.patience.patience_ns = settings.patience_ns;
  auto trainer = train::SwarmTrainer::create(
      {.loop = *process.loop, .transport = *process.transport, .directory = *process.directory}, spec,
      settings.options, compute, task_, config);
  AGORA_CHECK(trainer.ok());  // the world has checked the specification
  trainer_ = *std::move(trainer);
  process.loop->start_caller([this] { train(); });
}

TrainerRole::~TrainerRole() = default;

void TrainerRole::leave(std::function<void()> done) {
  stop_callers();
  done();
}

void TrainerRole::stop_callers() {
  trainer_->stop();
  until_stopped_.stop();
}

bool TrainerRole::think(int64_t ns) { return until_stopped_.rest(ns) && !process_.loop->dead(); }

void TrainerRole::train() {
  while (!trainer_->join(kJoinNs).ok()) {
    if (!think(kSecondNs)) return;
  }
  while (think(settings_.think_ns)) {
    const StatusOr<train::SwarmStepReport> report = trainer_->step();
    StepFact fact;
    fact.status = report.status();
    if (report.ok()) {
      fact.step = static_cast<uint64_t>(report->step);
      fact.loss = report->loss;
      fact.choices = report->choices;
      fact.choices_arrived = report->choices_arrived;
      fact.round = report->trunk.round;
      fact.contributors = report->trunk.contributors;
      fact.trunk_rows = report->trunk.rows;
    }
    process_.teller.tell(&History::on_step, fact);
  }
}

}  // namespace agora::sim
