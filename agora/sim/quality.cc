#include "agora/sim/quality.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <utility>

#include "absl/strings/str_format.h"
#include "agora/base/check.h"
#include "agora/sim/little_text.h"
#include "agora/sim/world.h"
#include "agora/train/swarm_spec.h"
#include "agora/train/swarm_trainer.h"
#include "agora/train/text_task.h"

namespace agora::sim {
namespace {

constexpr size_t kTextBytes = 40'000;  // of each kind of text
constexpr int64_t kWarmUpNs = 20 * kSecondNs;
constexpr int64_t kJoinNs = 60 * kSecondNs;
constexpr int64_t kTrainNsMax = 3600 * kSecondNs;
constexpr int64_t kAnswerNsMax = 600 * kSecondNs;
constexpr int64_t kValidationRows = 1024;
constexpr int64_t kBetweenKillsNs = kSecondNs;
constexpr double kLosses[] = {0, 0.05, 0.1, 0.2, 0.3};
constexpr double kDead[] = {0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7};

train::TrainOptions options_of(const Scenario& s, int64_t steps) {
  train::TrainOptions options;
  options.tokenizer = "char";
  options.layers = s.layers;
  options.width = 24;
  options.heads = 2;
  options.hidden = 24;
  options.experts = s.experts;
  options.chosen = s.chosen;
  options.sequence = 32;
  options.batch = 8;
  options.steps = steps;
  options.learning_rate = 1e-2f;
  options.warmup = std::min<int64_t>(20, steps / 10);
  options.precision = "f32";
  return options;
}

swarm::SwarmSpec spec_of(const train::TrainOptions& options, const train::Task& task, int64_t replicas) {
  const auto trunk = train::config_of(options);
  AGORA_CHECK(trunk.ok());
  const model::ModelConfig config = task.shape(*trunk);
  swarm::SwarmSpec spec = train::spec_of(config);
  spec.name = "quality";
  spec.bf16 = false;
  spec.replicas = static_cast<int32_t>(replicas);
  spec.step.learning_rate = options.learning_rate;
  spec.rows_per_step =
      std::max<int64_t>(1, options.batch * options.sequence * options.chosen / options.experts);
  return spec;
}

// A peer that trains, and then asks as servers do.
class Learner final : public PeerRole {
 public:
  Learner(Process& process, const swarm::SwarmSpec& spec, const kernels::Compute& compute,
          const train::TrainOptions& options, train::Task& task)
      : process_(process),
        task_(task),
        layers_(spec.layers),
        chosen_(options.chosen),
        finder_(*process.loop, *process.directory, spec, process.rng.fork("finder")) {
    auto trainer = train::SwarmTrainer::create(
        {.loop = *process.loop, .transport = *process.transport, .directory = *process.directory}, spec,
        options, compute, task, {.in_flight_max = 1, .patience = {}, .growth = {}});
    AGORA_CHECK(trainer.ok());  // the options are this file's own
    trainer_ = *std::move(trainer);
    asking_ = std::make_unique<swarm::RemoteExperts>(
        *process.loop, *process.transport, finder_, spec,
        swarm::RemoteExpertsConfig{
            .priority = peers::Priority::interactive, .exact = true, .seed = process.rng.next_u64()});
  }

  void describe(swarm::PeerState& state) const override { trainer_->describe(state); }
  void leave(std::function<void()> done) override { done(); }

  // On a fiber of the peer.
  void begin(std::function<void()> work) {
    busy_ = true;
    process_.loop->start_caller([this, work = std::move(work)] {
      work();
      busy_ = false;
    });
  }
  bool busy() const { return busy_; }

  Status train() {
    AGORA_RETURN_IF_ERROR(trainer_->join(kJoinNs));
    while (!trainer_->done()) AGORA_RETURN_IF_ERROR(trainer_->step().status());
    trainer_->model().use_experts(*asking_);
    return absl::OkStatus();
  }
  int64_t steps() const { return trainer_->state().step; }

  StatusOr<QualityPoint> answer() {
    asking_->take_report();
    model::Pass pass = trainer_->pass();
    pass.call.runner_up = true;
    const int64_t began_ns = process_.loop->now_ns();
    AGORA_ASSIGN_OR_RETURN(const train::Evaluation all,
                           train::evaluate(trainer_->model(), pass, task_, kValidationRows));
    const swarm::MixReport report = asking_->take_report();
    const auto of = [](double part, double whole) { return whole > 0 ? part / whole : 0; };
    QualityPoint point;
    point.perplexity = all.total.perplexity();
    point.mass_lost = of(report.gate_mass_lost, report.gate_mass);
    point.by_next = of(static_cast<double>(report.by_next_expert),
                       static_cast<double>(report.rows) * static_cast<double>(chosen_));
    point.batch_ms = static_cast<double>(process_.loop->now_ns() - began_ns) / 1e6 *
                     of(static_cast<double>(layers_), static_cast<double>(report.calls));
    return point;
  }

 private:
  Process& process_;
  train::Task& task_;
  const int64_t layers_, chosen_;
  swarm::Finder finder_;
  std::unique_ptr<train::SwarmTrainer> trainer_;
  std::unique_ptr<swarm::RemoteExperts> asking_;
  bool busy_ = false;
};

// A swarm of hosts and one learner.
class School {
 public:
  School(const Scenario& scenario, uint64_t seed, const train::TrainOptions& options, train::Task& task,
         const swarm::SwarmSpec& spec)
      : world_({.seed = seed, .latency = *latency_of(scenario.latency), .spec = spec}, silent_) {
    HostSettings host;
    host.options.experts_max = room_of(scenario);
    for (int64_t i = 0; i < scenario.hosts; ++i) world_.add_host(host).start();
    world_.run_for(kWarmUpNs);
    Peer& peer = world_.add_peer([&](Process& process) {
      auto role = std::make_unique<Learner>(process, world_.spec(), world_.compute(), options, task);
      learner_ = role.get();
      return role;
    });
    peer.start();
  }

  Status train() {
    AGORA_RETURN_IF_ERROR(finish(kTrainNsMax, [this] { trained_ = learner_->train(); }));
    // Followers come to the last version.
    world_.run_for(static_cast<int64_t>(2 * world_.spec().loss_window_s) * kSecondNs);
    return trained_;
  }
  int64_t steps() const { return learner_->steps(); }

  StatusOr<QualityPoint> answer(double share) {
    AGORA_RETURN_IF_ERROR(finish(kAnswerNsMax, [this] { answered_ = learner_->answer(); }));
    if (answered_.ok()) answered_->share = share;
    return answered_;
  }

  void lose(double share) { world_.network().faults.loss_ppm = static_cast<uint32_t>(share * 1e6); }

  // Until so many of the hosts are dead. Half of them silently.
  void kill(size_t dead) {
    std::vector<Peer*> living = world_.hosts();
    const size_t left = living.size() - dead;
    std::erase_if(living, [](const Peer* host) { return !host->alive(); });
    while (living.size() > left) {
      const size_t i = world_.rng().below(static_cast<uint32_t>(living.size()));
      living[i]->crash(world_.rng().below(2) == 0 ? Death::silent : Death::refused);
      living.erase(living.begin() + static_cast<ptrdiff_t>(i));
    }
    world_.run_for(kBetweenKillsNs);
  }
  void rest() { world_.run_for(kWarmUpNs); }

 private:
  Status finish(int64_t within_ns, const std::function<void()>& work) {
    learner_->begin(work);
    const int64_t until_ns = world_.now_ns() + within_ns;
    while (learner_->busy() && world_.now_ns() < until_ns) world_.run_for(10 * kMillisecondNs);
    return learner_->busy() ? absl::DeadlineExceededError("the learner still waits") : absl::OkStatus();
  }

  History silent_;
  Learner* learner_ = nullptr;  // the world's
  // What came of its work; before the world, which sends home who still works when nobody waits any more.
  Status trained_;
  StatusOr<QualityPoint> answered_ = absl::UnknownError("not asked");
  World world_;
};

}  // namespace

StatusOr<QualityCurve> measure_quality(const Scenario& given, uint64_t seed, int64_t replicas,
                                       int64_t steps) {
  Scenario scenario = given;
  scenario.replicas = replicas;
  AGORA_RETURN_IF_ERROR(validate(scenario));
  base::ThreadPool pool(1);
  const train::TrainOptions options = options_of(scenario, steps);
  AGORA_ASSIGN_OR_RETURN(const std::unique_ptr<train::Task> task,
                         train::make_corpus_task(options, little_text(seed, kTextBytes), nullptr, pool));
  const swarm::SwarmSpec spec = spec_of(options, *task, replicas);
  AGORA_RETURN_IF_ERROR(swarm::validate(spec));
  School school(scenario, seed, options, *task, spec);
  QualityCurve curve;
  curve.replicas = replicas;
  curve.guess = static_cast<double>(task->tokenizer()->vocab_size());
  AGORA_RETURN_IF_ERROR(school.train());
  curve.steps = school.steps();
  for (const double share : kLosses) {
    school.lose(share);
    AGORA_ASSIGN_OR_RETURN(curve.messages_lost.emplace_back(), school.answer(share));
  }
  school.lose(0);
  school.rest();
  for (const double share : kDead) {  // of few hosts two shares may be the same ones
    const auto hosts = static_cast<double>(scenario.hosts);
    const double dead = std::floor(share * hosts + 0.5);
    if (!curve.hosts_dead.empty() && curve.hosts_dead.back().share == dead / hosts) continue;
    school.kill(static_cast<size_t>(dead));
    AGORA_ASSIGN_OR_RETURN(curve.hosts_dead.emplace_back(), school.answer(dead / hosts));
  }
  return curve;
}

std::string quality_text(const Scenario& scenario, uint64_t seed, const std::vector<QualityCurve>& curves) {
  std::string text =
      absl::StrFormat("scenario %s, seed %d: %d hosts, %d layers of %d experts, %s\n", scenario.name, seed,
                      scenario.hosts, scenario.layers, scenario.experts, scenario.latency);
  for (const auto& [title, points] : {std::pair{"messages lost", &QualityCurve::messages_lost},
                                      std::pair{"hosts dead", &QualityCurve::hosts_dead}}) {
    for (const QualityCurve& curve : curves) {
      text += absl::StrFormat("%s, %d replica%s, %d steps; a guess has %.0f\n", title, curve.replicas,
                              curve.replicas == 1 ? "" : "s", curve.steps, curve.guess);
      text += "  share  perplexity  mass lost  next expert  ms a batch\n";
      for (const QualityPoint& p : curve.*points) {
        text += absl::StrFormat("  %3.0f %%  %10.3f   %6.2f %%     %6.2f %%  %10.1f\n", 100 * p.share,
                                p.perplexity, 100 * p.mass_lost, 100 * p.by_next, p.batch_ms);
      }
    }
  }
  return text;
}

}  // namespace agora::sim
