// agora trainer (and agora train --join): a peer that trains a trunk of its own over everybody's experts.
#include <malloc.h>
#include <unistd.h>

#include <chrono>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agora/base/work_clock.h"
#include "agora/train/swarm_trainer.h"

#include "apps/cli/flag_checks.h"
#include "apps/cli/machine.h"
#include "apps/cli/swarm/peer_process.h"
#include "apps/cli/swarm/state_folder.h"
#include "apps/cli/swarm/step_failures.h"
#include "apps/cli/swarm/swarm_command.h"
#include "apps/cli/swarm/swarm_recipe.h"
#include "apps/cli/terminal_progress.h"

namespace agora::cli {
namespace {

constexpr double kNs = 1e-9;
constexpr char kInt8[] = "int8";
constexpr int64_t kKeepNs = 30 * base::kSecondNs;  // between two times that it writes down where it is
constexpr size_t kSwarmDigits = 16;                // of its id, in a file name

using Json = nlohmann::ordered_json;

// The steps of one trainer, with what people and `agora up` are told of them.
class TrainerLoop {
 public:
  TrainerLoop(train::SwarmTrainer& trainer, Node& node, const TrainerFlags& flags, const Interrupt& interrupt)
      : trainer_(trainer),
        node_(node),
        flags_(flags),
        interrupt_(interrupt),
        progress_(std::cerr, inspect_terminal(STDERR_FILENO), clock_) {}

  Status run() {
    while (!trainer_.done() && !interrupt_.load()) {
      const Status status = one_step();
      if (absl::IsCancelled(status)) break;
      if (!status.ok() && !goes_on(status)) return status;
      if (clock_.now_ns() >= keep_ns_) keep();
    }
    progress_.finish();
    if (trainer_.done()) note(trainer_.settle(trainer_.settle_ns_max()));
    keep();
    return absl::OkStatus();
  }

  void hand_on() { note(trainer_.hand_on(trainer_.hand_on_ns_max())); }

  // A full disk costs the copy, not the training.
  void keep() {
    keep_ns_ = clock_.now_ns() + kKeepNs;
    const Status kept = trainer_.keep();
    if (!kept.ok()) node_.log().warning("the trunk is not kept", {{"error", std::string(kept.message())}});
  }

  // Any thread.
  swarm::MixReport report() const {
    base::MutexLock lock(mutex_);
    return sum_;
  }
  uint64_t steps_failed() const { return failures_.count(); }

 private:
  // What it has is kept, for the next time.
  void note(const Status& ended) {
    if (ended.ok() || absl::IsCancelled(ended)) return;
    node_.log().warning("end of training", {{"error", std::string(ended.message())}});
    say_event({{"event", "trouble"}, {"error", std::string(ended.message())}}, flags_.node.json);
    progress_.print(message_for_people(ended));
  }

  // What the trainer has is kept.
  bool goes_on(const Status& status) {
    if (!failures_.goes_on(status)) return false;
    node_.log().warning("step failed", {{"error", std::string(status.message())}});
    progress_.print(message_for_people(status));
    return true;
  }

  Status one_step() {
    const int64_t begin_ns = clock_.now_ns();
    AGORA_ASSIGN_OR_RETURN(const train::SwarmStepReport report, trainer_.step());
    failures_.succeeded();
    const double seconds = static_cast<double>(clock_.now_ns() - begin_ns) * kNs;
    trainer_.add_seconds(seconds);
    if (++steps_ > train::kWarmSteps) seconds_ += seconds;
    if (trainer_.needs_plan()) {
      const double left = trainer_.state().options.minutes * 60 - trainer_.state().seconds;
      trainer_.plan_steps(left * train::kShareForTraining,
                          seconds_ / static_cast<double>(steps_ - train::kWarmSteps));
    }
    {
      base::MutexLock lock(mutex_);
      add_to(report.mix, sum_);
    }
    const train::TrainOptions& options = trainer_.state().options;
    if (report.step % options.validate_every == 0) {
      AGORA_ASSIGN_OR_RETURN(const train::Evaluation evaluation, trainer_.validate(options.validate_rows));
      if (evaluation.total.answers > 0) loss_validation_ = evaluation.total.loss();
      if (flags_.rows == kInt8) AGORA_RETURN_IF_ERROR(say_rows_cost(report.step));
    }
    show(report);
    return absl::OkStatus();
  }

  Status say_rows_cost(int64_t step) {
    AGORA_ASSIGN_OR_RETURN(const double cost, trainer_.rows_cost(trainer_.state().options.validate_rows));
    say_event({{"event", "rows_cost"}, {"step", step}, {"loss", cost}}, flags_.node.json);
    if (flags_.node.json) return absl::OkStatus();
    progress_.finish();
    std::cout << absl::StrFormat("Step %d: int8 rows cost %+.4f nats of validation loss against bf16.", step,
                                 cost)
              << std::endl;
    return absl::OkStatus();
  }

  void show(const train::SwarmStepReport& report) {
    const int64_t steps = trainer_.state().steps;
    if (!flags_.node.json) {
      TrainingProgress progress{.step = report.step,
                                .steps = steps,
                                .loss = report.loss,
                                .loss_validation = loss_validation_,
                                .rows_per_second = report.rows_per_s,
                                .max_violation = report.max_violation};
      if (steps > 0 && steps_ > train::kWarmSteps) {
        progress.seconds_left = static_cast<double>(steps - report.step) * seconds_ /
                                static_cast<double>(steps_ - train::kWarmSteps) / train::kShareForTraining;
      }
      return progress_.show(progress);
    }
    Json line{{"event", "step"},
              {"step", report.step},
              {"steps", steps},
              {"loss", report.loss},
              {"max_violation", report.max_violation},
              {"rows_per_second", report.rows_per_s},
              {"trunk_round", report.trunk.round},
              {"gate_mass", report.mix.gate_mass},
              {"gate_mass_lost", report.mix.gate_mass_lost},
              {"updates_refused", report.mix.updates_refused},
              {"pauses", report.pauses}};
    if (report.step % trainer_.state().options.validate_every == 0 && loss_validation_) {
      line["loss_validation"] = *loss_validation_;
    }
    say_event(line, true);
  }

  train::SwarmTrainer& trainer_;
  Node& node_;
  const TrainerFlags& flags_;
  const Interrupt& interrupt_;
  WorkClock clock_;
  TerminalProgress progress_;
  std::optional<double> loss_validation_;
  int64_t steps_ = 0;
  StepFailures failures_;
  int64_t keep_ns_ = clock_.now_ns() + kKeepNs;
  double seconds_ = 0;  // of the steps after the warm ones
  mutable base::Mutex mutex_;
  swarm::MixReport sum_ ABSL_GUARDED_BY(mutex_);
};

swarm::RowDtype dtype_of(const std::string& rows) {
  if (rows == kInt8) return swarm::RowDtype::int8;
  return rows == "f32" ? swarm::RowDtype::f32 : swarm::RowDtype::bf16;
}

uint64_t wall_clock_ns() {
  return static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
}

StatusOr<train::TrainOptions> own_options(const TrainerFlags& flags, const swarm::SwarmSpec& spec) {
  AGORA_ASSIGN_OR_RETURN(train::TrainOptions options, options_of(spec));
  options.data = flags.data;
  options.threads = flags.threads;
  if (flags.steps > 0) options.steps = flags.steps;
  if (flags.minutes > 0) options.minutes = flags.minutes;
  AGORA_RETURN_IF_ERROR(train::validate(options));
  return options;
}

void say_trained(const train::SwarmTrainer& trainer, bool stays, bool json) {
  const swarm::TrunkVersion trunk = trainer.averaging().version;
  say_event({{"event", "trained"},
             {"step", trainer.state().step},
             {"seconds", trainer.state().seconds},
             {"trunk_round", trunk.round},
             {"trunk_rows", trunk.rows}},
            json);
  if (json) return;
  std::cout << "Trained " << trainer.state().step << " steps. "
            << (stays ? "Hands out its trunk until Ctrl-C." : "Ends when another has its trunk.")
            << std::endl;
}

}  // namespace

Status run_trainer(const TrainerFlags& flags, const Interrupt& interrupt) {
  Machine machine(flags.threads);
  AGORA_ASSIGN_OR_RETURN(const auto node, Node::open(flags.node, interrupt));
  AGORA_ASSIGN_OR_RETURN(const train::TrainOptions options, own_options(flags, node->spec()));
  AGORA_ASSIGN_OR_RETURN(const kernels::Compute compute, machine.compute(options.precision));
  AGORA_ASSIGN_OR_RETURN(train::SharedTokenizer tokenizer, tokenizer_of(node->spec()));
  AGORA_ASSIGN_OR_RETURN(const auto task, train::make_task(options, std::move(tokenizer), machine.pool()));
  malloc_trim(0);  // the text is gone: its pages go too
  train::SwarmTrainerConfig config;
  AGORA_ASSIGN_OR_RETURN(config.run, next_run(node->state_dir(), wall_clock_ns()));
  config.rows = dtype_of(flags.rows);
  config.own_file =
      absl::StrCat(node->state_dir(), "/trainer-", node->spec().id().text().substr(0, kSwarmDigits));
  AGORA_ASSIGN_OR_RETURN(const auto trainer,
                         train::SwarmTrainer::create({node->loop(), node->transport(), node->directory()},
                                                     node->spec(), options, compute, *task, config));
  TrainerLoop loop(*trainer, *node, flags, interrupt);
  node->contribute([&](swarm::PeerState& state, std::vector<Metric>& metrics) {
    trainer->describe(state);
    append_metrics(loop.report(), metrics);
    add_counter(metrics, "agora_steps_failed_total",
                "Steps that nobody served, or that were not numbers: skipped.", loop.steps_failed());
    if (interrupt.load()) trainer->stop();  // what waits for hosts ends
  });
  const NodeEnd end(*node);
  AGORA_RETURN_IF_ERROR(node->begin());
  say_up(*node, "trainer", flags.node.json);
  if (!flags.resume.empty()) AGORA_RETURN_IF_ERROR(trainer->resume(flags.resume));
  const Status joined = trainer->join(static_cast<int64_t>(flags.hosts_seconds * 1e9));
  if (interrupt.load()) return absl::OkStatus();
  AGORA_RETURN_IF_ERROR(joined);
  AGORA_RETURN_IF_ERROR(loop.run());
  if (trainer->done()) say_trained(*trainer, flags.stay, flags.node.json);
  if (flags.stay) {
    wait_for_interrupt(interrupt);
  } else if (trainer->done()) {
    loop.hand_on();
  }
  loop.keep();  // with what came of the last round
  say_event({{"event", "left"}, {"step", trainer->state().step}}, flags.node.json);
  return absl::OkStatus();
}

void add_trainer_flags(CLI::App& command, TrainerFlags& flags) {
  add_node_flags(command, flags.node);
  command
      .add_option("--rows", flags.rows,
                  "how rows travel to the hosts and back: bf16; f32; int8, and what it costs is measured at "
                  "every validation")
      ->check(CLI::IsMember({"f32", "bf16", "int8"}));
  command.add_flag("--stay,!--no-stay", flags.stay, "hand out the trunk after the last step, until Ctrl-C");
  command
      .add_option("--hosts-seconds", flags.hosts_seconds, "how long to wait until every expert has a host")
      ->check(seconds_above_zero());
}

void add_trainer_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result) {
  auto flags = std::make_shared<TrainerFlags>();
  CLI::App* command = app.add_subcommand("trainer", "Be a trainer: agora train --join does the same");
  command->option_defaults()->always_capture_default()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  add_trainer_flags(*command, *flags);
  command->add_flag("--json", flags->node.json, "JSON lines on standard output");
  command->add_option("--data", flags->data, "folder or file to learn from; empty: this machine's own text");
  command->add_option("--steps", flags->steps, "0: as the swarm's recipe says");
  command->add_option("--minutes", flags->minutes, "0: as the swarm's recipe says");
  command->add_option("--threads", flags->threads, "0: one per processor");
  command->add_option("--resume", flags->resume, "folder of a saved swarm: go on from its trunk");
  command->footer(kConfigHelp);
  command->callback(
      [flags, &interrupt, &result] { result.exit_code = report(run_trainer(*flags, interrupt)); });
}

}  // namespace agora::cli
