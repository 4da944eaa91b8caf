#include "apps/cli/swarm/bench_training.h"

#include <cstdlib>
#include <filesystem>
#include <optional>

#include "absl/strings/str_cat.h"
#include "agora/peers/transport/faulty_transport.h"
#include "agora/train/swarm_bench.h"

#include "apps/cli/machine.h"
#include "apps/cli/swarm/bench_alone.h"
#include "apps/cli/swarm/peer_process.h"
#include "apps/cli/swarm/swarm_recipe.h"
#include "apps/cli/swarm/up_plan.h"

namespace agora::cli {
namespace {

namespace fs = std::filesystem;

constexpr int kHosts = 4;
constexpr int kRounds = 6;                             // of each side
constexpr train::BenchRounds kWarmRound{.steps = 12};  // before them: caches and malloc have what they need
constexpr train::BenchRounds kDelayRound{.warm = 1, .steps = 2};  // a step takes seconds
constexpr int kDelayRounds = 4;
constexpr int64_t kDelayNs = 50 * base::kMillisecondNs;
constexpr int64_t kJoinNs = 60 * base::kSecondNs;
constexpr int64_t kEndNs = 5 * base::kSecondNs;

// A folder, a specification, this process as a peer, and host processes: gone with the object.
class BenchSwarm {
 public:
  static StatusOr<std::unique_ptr<BenchSwarm>> start(const train::TrainOptions& options,
                                                     const Interrupt& interrupt) {
    std::unique_ptr<BenchSwarm> swarm(new BenchSwarm());
    std::string dir = (fs::temp_directory_path() / "agora-bench-XXXXXX").string();
    if (mkdtemp(dir.data()) == nullptr)
      return absl::ResourceExhaustedError("expected a folder for the bench");
    swarm->dir_ = dir;
    swarm->task_ = train::make_rule_task(options);
    AGORA_ASSIGN_OR_RETURN(const swarm::SwarmSpec spec, make_spec(options, {.replicas = 1}, *swarm->task_));
    AGORA_RETURN_IF_ERROR(write_spec(spec, dir + kSpecFile));
    NodeFlags own;
    own.listen = "127.0.0.1:0";
    own.state = dir + "/bench";
    own.spec = dir + kSpecFile;
    own.http = "off";
    AGORA_ASSIGN_OR_RETURN(swarm->node_, Node::open(own, interrupt));
    UpFlags plan;
    plan.hosts = kHosts;
    plan.trainers = plan.servers = 0;
    plan.http = "off";
    for (ChildPlan& child : plan_children(plan, dir, swarm->node_->endpoint(), /*from_saved=*/false)) {
      AGORA_RETURN_IF_ERROR(swarm->supervisor_.start(std::move(child)));
    }
    return swarm;
  }
  ~BenchSwarm() {
    std::vector<size_t> all;
    for (size_t child = 0; child < supervisor_.size(); ++child) all.push_back(child);
    supervisor_.end(all, kEndNs, [](const ChildEvent&) {});
    node_.reset();
    std::error_code ignored;
    if (!dir_.empty()) fs::remove_all(dir_, ignored);
  }

  // Calls measure(trainer) when every expert has its host. delay_ns: each way, on everything that this
  // process calls.
  template <class Measure>
  auto with_trainer(const train::TrainOptions& options, const kernels::Compute& compute, int64_t delay_ns,
                    const Measure& measure) -> decltype(measure(std::declval<train::SwarmTrainer&>())) {
    std::optional<peers::FaultyTransport> slow;
    if (delay_ns > 0) {
      peers::Faults faults;
      faults.delay_ns = delay_ns;
      slow.emplace(node_->transport(), node_->loop(), Rng(1), faults);
    }
    peers::Transport& transport = slow ? static_cast<peers::Transport&>(*slow) : node_->transport();
    AGORA_ASSIGN_OR_RETURN(const auto trainer,
                           train::SwarmTrainer::create({node_->loop(), transport, node_->directory()},
                                                       node_->spec(), options, compute, *task_, {}));
    const NodeEnd end(*node_);
    AGORA_RETURN_IF_ERROR(node_->begin());
    AGORA_RETURN_IF_ERROR(trainer->join(kJoinNs));
    return measure(*trainer);
  }

  // What this process and the hosts have spent so far.
  int64_t cpu_ns() const {
    int64_t sum_ns = cpu_ns_of(getpid());
    for (size_t child = 0; child < supervisor_.size(); ++child) sum_ns += cpu_ns_of(supervisor_.pid(child));
    return sum_ns;
  }

 private:
  BenchSwarm() = default;

  RealClock clock_;
  std::string dir_;
  std::unique_ptr<train::Task> task_;
  std::unique_ptr<Node> node_;
  Supervisor supervisor_{{.program = own_program()}, clock_};
};

}  // namespace

StatusOr<SwarmBesideProcess> bench_swarm_training(int threads, const Interrupt& interrupt) {
  AGORA_ASSIGN_OR_RETURN(const auto alone, AloneProcess::start(threads));
  Machine machine(threads);
  AGORA_ASSIGN_OR_RETURN(const kernels::Compute compute, machine.compute("bf16"));
  const train::TrainOptions options = train::swarm_bench_options();
  AGORA_ASSIGN_OR_RETURN(const auto swarm, BenchSwarm::start(options, interrupt));
  return swarm->with_trainer(
      options, compute, 0, [&](train::SwarmTrainer& trainer) -> StatusOr<SwarmBesideProcess> {
        const auto step = [&]() -> StatusOr<train::StepReport> { return trainer.step(); };
        const auto cpu_ns = [&] { return swarm->cpu_ns(); };
        train::BenchSide side, ignored;
        AGORA_RETURN_IF_ERROR(ignored.round(step, RealClock(), cpu_ns, kWarmRound));
        for (int round = 0; round < kRounds; ++round) {
          AGORA_RETURN_IF_ERROR(alone->round());
          AGORA_RETURN_IF_ERROR(side.round(step, RealClock(), cpu_ns, {}));
        }
        return SwarmBesideProcess{.swarm = side.rate(), .process = alone->side().rate()};
      });
}

StatusOr<DelayBench> bench_hidden_delay(const Interrupt& interrupt) {
  Machine machine(0);
  AGORA_ASSIGN_OR_RETURN(const kernels::Compute compute, machine.compute("bf16"));
  const train::TrainOptions options = train::delay_bench_options();
  AGORA_ASSIGN_OR_RETURN(const auto near, BenchSwarm::start(options, interrupt));
  AGORA_ASSIGN_OR_RETURN(const auto far, BenchSwarm::start(options, interrupt));
  train::BenchSide direct, delayed;
  const auto round = [&](const BenchSwarm& swarm, train::SwarmTrainer& trainer, train::BenchSide& side) {
    return side.round([&]() -> StatusOr<train::StepReport> { return trainer.step(); }, RealClock(),
                      [&] { return swarm.cpu_ns(); }, kDelayRound);
  };
  AGORA_RETURN_IF_ERROR(near->with_trainer(options, compute, 0, [&](train::SwarmTrainer& here) {
    return far->with_trainer(options, compute, kDelayNs, [&](train::SwarmTrainer& there) -> Status {
      for (int i = 0; i < kDelayRounds; ++i) {
        AGORA_RETURN_IF_ERROR(round(*near, here, direct));
        AGORA_RETURN_IF_ERROR(round(*far, there, delayed));
      }
      return absl::OkStatus();
    });
  }));
  return DelayBench{.threads = machine.pool().threads(), .direct = direct.rate(), .delayed = delayed.rate()};
}

}  // namespace agora::cli
