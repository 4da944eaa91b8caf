#include "agora/train/swarm_trainer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agora/base/mutex.h"
#include "agora/base/until_stopped.h"
#include "agora/swarm/host/expert_store.h"
#include "agora/swarm/loads_now.h"
#include "agora/swarm/swarm_folder.h"
#include "agora/train/run_folder.h"
#include "agora/train/saved_trunk.h"
#include "agora/train/swarm_save.h"
#include "agora/train/swarm_spec.h"
#include "agora/train/trainer_file.h"
#include "agora/train/trunk_of_others.h"
#include "agora/train/trunk_sharing.h"

namespace agora::train {
namespace {

constexpr int64_t kLookNs = 200 * base::kMillisecondNs;  // between two looks at who is there

// Trainers of a swarm draw different batches, and different noise.
Rng own_stream(const TrainOptions& options, std::string_view of_what, const peers::PeerId& self) {
  return Rng(options.seed).fork(of_what).fork(self.text());
}

}  // namespace

struct SwarmTrainer::State {
  State(const SwarmPeer& at, const swarm::SwarmSpec& its_spec, const kernels::Compute& its_compute,
        Task& its_task, const SwarmTrainerConfig& its_config)
      : peer(at),
        spec(its_spec),
        config(its_config),
        compute(its_compute),
        task(its_task),
        baton(peer.loop),
        finder(peer.loop, peer.directory, spec, Rng(seed)),
        remote(peer.loop, peer.transport, finder, spec,
               {.rows = config.rows,
                .tickets_max = std::max(swarm::kTicketsMax, spec.layers * config.in_flight_max),
                .seed = seed,
                .run = config.run,
                .baton = &baton}),
        experts(remote, peer.loop, &baton, config.patience) {}

  bool synchronous() const { return spec.updates == swarm::UpdateMode::synchronous; }
  Status make(const TrainOptions& options);
  Status load(const std::string& dir, const swarm::Manifest& manifest);
  StatusOr<StepReport> take_step(const model::Batch& batch, const StepPlan& plan);
  Status go_on();
  Status restore(KeptTrainer kept);
  void begin_with(swarm::TrunkSnapshot snapshot);
  void begin();
  void balance();
  void be_at(Rng::State cursor);  // in its data, also for whoever saves the swarm

  const SwarmPeer peer;
  const uint64_t seed = std::hash<peers::PeerId>()(peer.transport.self());  // of its own draws
  const swarm::SwarmSpec spec;
  const SwarmTrainerConfig config;
  const kernels::Compute compute;
  Task& task;
  base::Baton baton;
  swarm::Finder finder;
  swarm::RemoteExperts remote;
  PatientExperts experts;
  std::unique_ptr<model::Model> trunk;
  std::unique_ptr<swarm::TrunkLayout> layout;
  std::optional<TrunkSharing> sharing;
  std::unique_ptr<Stepper> stepper;
  std::optional<GateGrowth> growth;        // in asynchronous swarms whose gates have room
  std::vector<swarm::LoadsNow> loads_now;  // of each layer
  TrainState state;
  base::UntilStopped until_stopped{peer.loop};
  int64_t joined_step = 0;  // where this trainer began to take steps of its own
  KeptTrainer from;         // a folder or its own file: what it begins with if nobody has a fresher trunk

  // What other threads may ask for.
  struct Shown {
    base::Mutex mutex;
    uint64_t step ABSL_GUARDED_BY(mutex) = 0;
    float loss ABSL_GUARDED_BY(mutex) = 0;
    float rows_per_s ABSL_GUARDED_BY(mutex) = 0;
    Rng::State cursor ABSL_GUARDED_BY(mutex);
  };
  std::shared_ptr<Shown> shown = std::make_shared<Shown>();  // shared with the transport's handler
};

Status SwarmTrainer::State::make(const TrainOptions& options) {
  AGORA_ASSIGN_OR_RETURN(const model::ModelConfig config_with_room, trunk_config(spec));
  if (config_with_room.vocab_size != task.shape(config_with_room).vocab_size) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the swarm's model has ", config_with_room.vocab_size, " pieces or classes, this trainer's data ",
        task.shape(config_with_room).vocab_size, ": make the task with the swarm's tokenizer"));
  }
  AGORA_ASSIGN_OR_RETURN(trunk, model::Model::create(config_with_room, experts, tensor::Train::yes));
  trunk->initialise(swarm::first_weights(spec));
  trunk->repack(compute);
  if (config_with_room.gate.entry_bias) {
    growth.emplace(GateGrowth::Place{peer.loop, peer.transport, peer.directory}, spec, *trunk, compute,
                   config.growth);
    growth->close_room();
  }
  loads_now.resize(static_cast<size_t>(spec.layers));
  layout = std::make_unique<swarm::TrunkLayout>(trunk->parameters(), trunk->selection_biases());
  state.options = options;
  state.steps = options.steps;
  state.fingerprint = task.fingerprint();
  be_at(synchronous() ? task.cursor() : own_stream(options, "data", peer.transport.self()).state());
  const Flight flight{.baton = &baton, .in_flight_max = config.in_flight_max};
  stepper = std::make_unique<Stepper>(state.options, compute, *trunk, experts, flight);
  if (!synchronous()) stepper->use_noise(own_stream(options, "noise", peer.transport.self()));
  serve_cursor(peer.transport, [shown = shown] {
    base::MutexLock lock(shown->mutex);
    return shown->cursor;
  });
  sharing.emplace(peer.loop, peer.transport, peer.directory, options, synchronous(), *layout);
  return absl::OkStatus();
}

void SwarmTrainer::State::be_at(Rng::State cursor) {
  task.restore(cursor);
  state.cursor = cursor;
  base::MutexLock lock(shown->mutex);
  shown->cursor = cursor;
}

StatusOr<std::unique_ptr<SwarmTrainer>> SwarmTrainer::create(const SwarmPeer& peer,
                                                             const swarm::SwarmSpec& spec,
                                                             const TrainOptions& options,
                                                             const kernels::Compute& compute, Task& task,
                                                             const SwarmTrainerConfig& config) {
  AGORA_RETURN_IF_ERROR(swarm::validate(spec));
  AGORA_RETURN_IF_ERROR(train::validate(options));
  kernels::Compute own = compute;
  own.precision = spec.bf16 ? kernels::Precision::bf16 : kernels::Precision::f32;
  auto state = std::make_unique<State>(peer, spec, own, task, config);
  AGORA_RETURN_IF_ERROR(state->make(options));
  return std::unique_ptr<SwarmTrainer>(new SwarmTrainer(std::move(state)));
}

SwarmTrainer::SwarmTrainer(std::unique_ptr<State> state) : state_(std::move(state)) {}
SwarmTrainer::~SwarmTrainer() = default;

Status SwarmTrainer::resume(const std::string& dir) {
  State& s = *state_;
  AGORA_ASSIGN_OR_RETURN(const TrainState saved, read_run_state(dir));
  AGORA_ASSIGN_OR_RETURN(const swarm::Manifest manifest, swarm::read_manifest(dir));
  AGORA_RETURN_IF_ERROR(s.load(dir, manifest));
  s.trunk->repack(s.compute);
  s.state.step = saved.step;
  s.state.optimizer_steps = saved.optimizer_steps;
  if (s.state.steps == 0) s.state.steps = saved.steps;
  s.state.seconds = saved.seconds;
  const auto cursor = manifest.cursors.find(s.peer.transport.self().text());
  if (cursor != manifest.cursors.end()) s.be_at(cursor->second);
  s.from.base.version = manifest.trunk;
  return absl::OkStatus();
}

Status SwarmTrainer::State::load(const std::string& dir, const swarm::Manifest& manifest) {
  AGORA_ASSIGN_OR_RETURN(const model::ModelConfig folder,
                         model::read_config(absl::StrCat(dir, "/", model::kConfigFile)));
  SavedTrunk::Experts saved(static_cast<size_t>(spec.layers));
  for (const swarm::ManifestExpert& expert : manifest.experts) {
    if (expert.name.layer.value >= spec.layers) continue;
    saved[static_cast<size_t>(expert.name.layer.value)].push_back(expert.name.expert);
  }
  AGORA_ASSIGN_OR_RETURN(SavedTrunk there, SavedTrunk::like(*trunk, std::move(saved), folder));
  AGORA_RETURN_IF_ERROR(load_tensors(dir, there.parameters(), there.steered()));
  there.put_back();
  return absl::OkStatus();
}

Status SwarmTrainer::join(int64_t timeout_ns) {
  State& s = *state_;
  const int64_t until_ns = s.peer.loop.now_ns() + timeout_ns;
  for (;;) {
    const int64_t look_ns = std::min(until_ns, s.peer.loop.now_ns() + kLookNs);
    const Status covered = s.finder.wait_until_covered(s.spec.layers, s.spec.experts, look_ns);
    if (covered.ok()) break;
    if (s.until_stopped.stopped()) return absl::CancelledError("stopped while it waited for hosts");
    if (s.peer.loop.now_ns() >= until_ns) return covered;
  }
  AGORA_RETURN_IF_ERROR(s.go_on());
  AGORA_ASSIGN_OR_RETURN(std::optional<swarm::TrunkSnapshot> others,
                         trunk_of_others(s.peer, s.from.base.version, *s.layout, s.until_stopped, until_ns));
  if (others)
    s.begin_with(*std::move(others));
  else
    s.begin();
  s.from = {};
  s.joined_step = s.state.step;
  if (s.growth) s.growth->begin(s.state.step);
  base::MutexLock lock(s.shown->mutex);
  s.shown->step = static_cast<uint64_t>(s.state.step);  // there may be no more of them
  return absl::OkStatus();
}

// Where it was, if its disk knows.
Status SwarmTrainer::State::go_on() {
  if (config.own_file.empty()) return absl::OkStatus();
  StatusOr<KeptTrainer> kept = read_trainer_file(config.own_file);
  if (absl::IsNotFound(kept.status())) return absl::OkStatus();
  AGORA_RETURN_IF_ERROR(kept.status());
  return restore(*std::move(kept));
}

// What is its own in any case; the trunk unless the folder that it resumed from has a fresher one.
Status SwarmTrainer::State::restore(KeptTrainer kept) {
  AGORA_RETURN_IF_ERROR(layout->load_moments(kept.first, kept.second));
  state.optimizer_steps = kept.state.optimizer_steps;
  state.step = std::max(state.step, kept.state.step);
  state.seconds = kept.state.seconds;
  const TrainOptions& then = kept.state.options;
  if (then.steps == state.options.steps && then.minutes == state.options.minutes) {
    state.steps = kept.state.steps;
  }
  be_at(kept.state.cursor);
  if (kept.base.version < from.base.version) return absl::OkStatus();
  swarm::TrunkSnapshot own;
  own.layout = kept.base.layout;
  own.values = kept.values;
  AGORA_RETURN_IF_ERROR(layout->load(own));
  trunk->repack(compute);
  from = std::move(kept);
  return absl::OkStatus();
}

void SwarmTrainer::State::begin() {
  if (from.base.values.empty()) {
    from.base.values = layout->values();
    from.base.step = static_cast<uint64_t>(state.step);
  }
  sharing->begin_with(std::move(from.base), from.rows, from.steps);
}

// The layout holds it already.
void SwarmTrainer::State::begin_with(swarm::TrunkSnapshot snapshot) {
  trunk->repack(compute);
  state.step = std::max(state.step, static_cast<int64_t>(snapshot.step));
  sharing->begin_with(std::move(snapshot));
}

StatusOr<SwarmStepReport> SwarmTrainer::step() {
  State& s = *state_;
  if (s.until_stopped.stopped()) return absl::CancelledError("training was stopped");
  const int64_t begin_ns = s.peer.loop.now_ns();
  const int64_t next = s.state.step + 1;
  const model::Batch batch = s.task.next();
  SwarmStepReport report;
  const auto taken = s.take_step(
      batch, {.step = next, .optimizer = s.state.optimizer_steps + 1, .learning_rate = next_rate(s.state)});
  if (absl::IsCancelled(taken.status())) s.task.restore(s.state.cursor);  // nothing is wrong with the batch
  s.state.cursor = s.task.cursor();
  AGORA_ASSIGN_OR_RETURN(static_cast<StepReport&>(report), taken);
  s.state.step = next;
  ++s.state.optimizer_steps;
  s.balance();
  if (s.sharing->step_done(static_cast<uint64_t>(report.rows), static_cast<uint64_t>(next), done())) {
    s.trunk->repack(s.compute);
  }
  if (s.growth) s.growth->after_step(next);
  report.mix = s.remote.take_report();
  report.trunk = averaging().version;
  report.pauses = s.experts.pauses();
  report.backwards_failed = s.experts.backwards_failed();
  const int64_t spent_ns = std::max<int64_t>(1, s.peer.loop.now_ns() - begin_ns);
  report.rows_per_s = static_cast<double>(report.rows) * 1e9 / static_cast<double>(spent_ns);
  base::MutexLock lock(s.shown->mutex);
  s.shown->step = static_cast<uint64_t>(next);
  s.shown->loss = static_cast<float>(report.loss);
  s.shown->rows_per_s = done() ? 0 : static_cast<float>(report.rows_per_s);  // it rests from now on
  s.shown->cursor = s.state.cursor;
  return report;
}

// A newcomer that breaks every step is shut out, and the step taken without it.
StatusOr<StepReport> SwarmTrainer::State::take_step(const model::Batch& batch, const StepPlan& plan) {
  for (;;) {
    StatusOr<StepReport> report = stepper->step(batch, plan);
    if (!absl::IsInvalidArgument(report.status()) || !growth || !growth->on_broken_step(plan.step)) {
      return report;
    }
  }
}

void SwarmTrainer::State::balance() {
  if (synchronous()) return stepper->balance_by_own_loads();
  for (int64_t l = 0; l < trunk->config().num_hidden_layers; ++l) {
    moe::MoeLayer& mixture = trunk->block(LayerId{l}).mixture();
    const std::vector<int64_t> told = finder.loads(LayerId{l}, mixture.config().gate.experts);
    mixture.move_selection_bias(
        loads_now[static_cast<size_t>(l)].after_step(told, mixture.loads(), peer.loop.now_ns()));
  }
}

StatusOr<Evaluation> SwarmTrainer::validate(int64_t rows_max) {
  State& s = *state_;
  const base::BatonTurn turn(s.baton);
  StatusOr<Evaluation> evaluation = evaluate(*s.trunk, pass(), s.task, rows_max);
  if (evaluation.ok() && s.growth && evaluation->total.answers > 0) {
    s.growth->on_validation(evaluation->total.loss(), s.state.step);
  }
  return evaluation;
}

StatusOr<double> SwarmTrainer::rows_cost(int64_t rows_max) {
  State& s = *state_;
  const base::BatonTurn turn(s.baton);
  const StatusOr<Evaluation> with = evaluate(*s.trunk, pass(), s.task, rows_max);
  s.remote.set_rows(swarm::RowDtype::bf16);
  const StatusOr<Evaluation> without = evaluate(*s.trunk, pass(), s.task, rows_max);
  s.remote.set_rows(s.config.rows);
  AGORA_RETURN_IF_ERROR(with.status());
  AGORA_RETURN_IF_ERROR(without.status());
  return with->total.loss() - without->total.loss();
}

Status SwarmTrainer::keep() {
  State& s = *state_;
  if (s.sharing->take_latest()) s.trunk->repack(s.compute);
  const swarm::SinceRound since = s.sharing->since_round();
  if (since.base == nullptr) return absl::FailedPreconditionError("the trainer has not joined the swarm yet");
  KeptTrainer kept{.state = s.state,
                   .base = *since.base,
                   .rows = since.rows,
                   .steps = since.steps,
                   .values = s.layout->values(),
                   .first = s.layout->first_moments(),
                   .second = s.layout->second_moments()};
  return write_trainer_file(s.config.own_file, kept);
}

Status SwarmTrainer::save(const std::string& dir) {
  State& s = *state_;
  return save_swarm({.loop = s.peer.loop,
                     .transport = s.peer.transport,
                     .directory = s.peer.directory,
                     .finder = s.finder,
                     .spec = s.spec,
                     .trunk = *s.trunk,
                     .tokenizer = s.task.tokenizer(),
                     .state = s.state,
                     .version = averaging().version},
                    dir);
}

Status SwarmTrainer::settle(int64_t timeout_ns) {
  State& s = *state_;
  const Status kept = s.config.own_file.empty() ? absl::OkStatus() : keep();  // it may be killed meanwhile
  const Status settled = s.sharing->settle(static_cast<uint64_t>(s.state.step), timeout_ns, s.until_stopped);
  s.trunk->repack(s.compute);
  return settled.ok() ? kept : settled;
}

Status SwarmTrainer::hand_on(int64_t timeout_ns) {
  return state_->sharing->hand_on(timeout_ns, state_->until_stopped);
}

int64_t SwarmTrainer::settle_ns_max() const { return state_->sharing->settle_ns_max(); }
int64_t SwarmTrainer::hand_on_ns_max() const { return state_->sharing->hand_on_ns_max(); }

void SwarmTrainer::stop() {
  state_->until_stopped.stop();
  state_->experts.stop();
}

bool SwarmTrainer::done() const { return state().steps > 0 && state().step >= state().steps; }
bool SwarmTrainer::needs_plan() const {
  return state().steps == 0 && state().step - state_->joined_step >= kStepsBeforePlan;
}
void SwarmTrainer::plan_steps(double seconds_left, double seconds_per_step) {
  train::plan_steps(state_->state, seconds_left, seconds_per_step);
}
void SwarmTrainer::add_seconds(double seconds) { state_->state.seconds += seconds; }
const TrainState& SwarmTrainer::state() const { return state_->state; }
model::Model& SwarmTrainer::model() { return *state_->trunk; }
model::Pass SwarmTrainer::pass() const { return {.compute = state_->compute}; }
swarm::Finder& SwarmTrainer::finder() { return state_->finder; }

void SwarmTrainer::describe(swarm::PeerState& state) const {
  state.trainer = true;
  const swarm::TrunkVersion version = averaging().version;
  state.trunk_version = version.round;
  state.trunk_rows = version.rows;
  base::MutexLock lock(state_->shown->mutex);
  state.step = std::max(state.step, state_->shown->step);
  state.loss = state_->shown->loss;
  state.rows_per_s = state_->shown->rows_per_s;
}

swarm::AveragingCounters SwarmTrainer::averaging() const { return state_->sharing->counters(); }

}  // namespace agora::train
