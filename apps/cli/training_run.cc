#include "apps/cli/training_run.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agora/base/work_clock.h"
#include "agora/weights/atomic_file.h"
#include <nlohmann/json.hpp>

#include "apps/cli/json_line.h"
#include "apps/cli/model_data.h"
#include "apps/cli/terminal_progress.h"
#include "apps/cli/terminal_table.h"
#include "apps/cli/training_summary.h"

namespace agora::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr double kNs = 1e-9;

void print_line(const Json& line) { std::cout << json_line(line) << std::endl; }

// A save puts another folder in the place of the last. Who stands in there would find neither "." nor ".." a
// second time: such a folder is called by its full name.
std::string lasting_name(const std::string& dir) {
  std::error_code error;
  const fs::path here = fs::current_path(error);
  const fs::path there = fs::weakly_canonical(dir, error);
  const bool inside = std::ranges::mismatch(there, here).in1 == there.end();
  return inside && !there.empty() ? there.string() : dir;
}

// Where a run of its own may be saved: claimed until its first save, lest another that starts meanwhile be
// saved there too. Null: --out, which can not be claimed.
StatusOr<std::unique_ptr<weights::FolderClaim>> free_folder(const train::TrainOptions& options) {
  if (options.out.empty()) return new_folder(options.name);
  auto claim = weights::FolderClaim::take(options.out);
  if (absl::IsFailedPrecondition(claim.status())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--out ", options.out, ": another run that has just begun will be saved there; name another folder"));
  }
  if (fs::exists(options.out + "/training_state.json")) {
    return absl::InvalidArgumentError(absl::StrCat("--out ", options.out,
                                                   ": a run is there already; go on with it by "
                                                   "--resume ",
                                                   options.out, ", or name another folder"));
  }
  if (!weights::is_free(options.out)) {
    return absl::InvalidArgumentError(absl::StrCat("--out ", options.out,
                                                   ": expected nothing there, or an empty folder; the run "
                                                   "would replace what was found: name another"));
  }
  // Where folders have no locks, who names one answers for it.
  if (absl::IsUnimplemented(claim.status())) return nullptr;
  return claim;
}

class RunLoop {
 public:
  RunLoop(train::Trainer& trainer, std::string dir, const RunView& view, const Interrupt& interrupt)
      : trainer_(trainer),
        dir_(std::move(dir)),
        view_(view),
        interrupt_(interrupt),
        progress_(std::cerr, inspect_terminal(STDERR_FILENO), clock_) {}

  StatusOr<RunResult> run() {
    const int64_t start_ns = clock_.now_ns();
    steps_at_start_ = trainer_.steps_done();
    while (!trainer_.done() && !interrupt_.load()) {
      const Status status = one_step();
      if (!status.ok()) return with_saved(status);
    }
    progress_.finish();
    const Status saved = trainer_.save(dir_);
    if (!saved.ok()) return with_saved(saved);
    RunResult result;
    result.dir = dir_;
    result.finished = trainer_.done();
    result.steps = trainer_.steps_done();
    result.seconds = static_cast<double>(clock_.now_ns() - start_ns) * kNs;
    result.rows_per_second = step_seconds_ > 0 ? static_cast<double>(rows_) / step_seconds_ : 0;
    result.parameters = trainer_.model().config().parameters();
    result.parameters_active = trainer_.model().config().parameters_active();
    return result;
  }

 private:
  Status one_step() {
    const int64_t begin = clock_.now_ns();
    AGORA_ASSIGN_OR_RETURN(const train::StepReport report, trainer_.step());
    const double seconds = static_cast<double>(clock_.now_ns() - begin) * kNs;
    trainer_.add_seconds(seconds);
    count(report, seconds);
    if (trainer_.needs_plan()) {
      const double left = trainer_.state().options.minutes * 60 - trainer_.state().seconds;
      trainer_.plan_steps(left * train::kShareForTraining, step_seconds_ / static_cast<double>(steps_timed_));
    }
    const train::TrainOptions& options = trainer_.state().options;
    if (report.step % options.validate_every == 0) {
      AGORA_ASSIGN_OR_RETURN(const train::Evaluation evaluation, trainer_.validate(options.validate_rows));
      if (evaluation.total.answers > 0) loss_validation_ = evaluation.total.loss();
    }
    show(report);
    if (report.step % options.save_every == 0 && !trainer_.done()) AGORA_RETURN_IF_ERROR(save());
    return absl::OkStatus();
  }

  void count(const train::StepReport& report, double seconds) {
    if (report.step <= steps_at_start_ + train::kWarmSteps) return;
    step_seconds_ += seconds;
    ++steps_timed_;
    rows_ += report.rows;
  }

  void show(const train::StepReport& report) {
    TrainingProgress progress;
    progress.step = report.step;
    progress.steps = trainer_.steps();
    progress.loss = report.loss;
    progress.loss_validation = loss_validation_;
    progress.max_violation = report.max_violation;
    if (steps_timed_ > 0) {
      progress.rows_per_second = static_cast<double>(rows_) / step_seconds_;
      if (trainer_.steps() > 0) {
        progress.seconds_left = static_cast<double>(trainer_.steps() - report.step) * step_seconds_ /
                                static_cast<double>(steps_timed_) / train::kShareForTraining;
      }
    }
    if (!view_.json) return progress_.show(progress);
    Json line{{"event", "step"},
              {"step", report.step},
              {"loss", report.loss},
              {"gate_loss", report.gate_loss},
              {"max_violation", report.max_violation},
              {"routing_entropy", report.routing_entropy},
              {"gradient_norm", report.gradient_norm},
              {"learning_rate", report.learning_rate},
              {"rows_per_second", progress.rows_per_second}};
    if (report.step % trainer_.state().options.validate_every == 0 && loss_validation_)
      line["loss_validation"] = *loss_validation_;
    print_line(line);
  }

  Status save() {
    AGORA_RETURN_IF_ERROR(trainer_.save(dir_));
    saved_ = true;
    return absl::OkStatus();
  }

  Status with_saved(const Status& status) const {
    const bool kept = saved_ || steps_at_start_ > 0;
    return Status(status.code(), absl::StrCat(std::string(status.message()),
                                              kept ? absl::StrCat(". What was saved in ", dir_,
                                                                  " is untouched: go on with "
                                                                  "agora train --resume ",
                                                                  dir_)
                                                   : ". Nothing had been saved yet"));
  }

  train::Trainer& trainer_;
  std::string dir_;
  RunView view_;
  const Interrupt& interrupt_;
  WorkClock clock_;
  TerminalProgress progress_;
  std::optional<double> loss_validation_;
  int64_t steps_at_start_ = 0;
  int64_t steps_timed_ = 0;
  int64_t rows_ = 0;
  double step_seconds_ = 0;
  bool saved_ = false;
};

void print_model(const train::Trainer& trainer, const model::ModelConfig& config, const std::string& dir,
                 std::string_view kernels, const RunView& view) {
  if (view.json) {
    return print_line({{"event", "start"},
                       {"dir", dir},
                       {"parameters", config.parameters()},
                       {"parameters_active", config.parameters_active()},
                       {"step", trainer.steps_done()}});
  }
  const train::TrainOptions& o = trainer.state().options;
  std::cout << absl::StrFormat(
      "Model: %d layers, D %d, %d experts of H %d, %d chosen; %s parameters, %s active for a token\n"
      "Kernels: %s, %s. Saving to %s every %d steps.\n",
      config.num_hidden_layers, config.hidden_size, config.gate.experts, config.moe_intermediate_size,
      config.gate.chosen, with_thousands(config.parameters()), with_thousands(config.parameters_active()),
      std::string(kernels), o.precision, dir, o.save_every);
  print_gate_note(o, config);
  if (trainer.steps_done() > 0) {
    std::cout << absl::StrFormat("Resumed after step %d of %d.\n", trainer.steps_done(), trainer.steps());
  }
  std::cout << std::flush;
}

StatusOr<RunResult> run(train::Trainer& trainer, train::Task& task, const std::string& dir,
                        std::string_view kernels, const RunView& view, const Interrupt& interrupt) {
  print_model(trainer, trainer.model().config(), dir, kernels, view);
  AGORA_ASSIGN_OR_RETURN(RunResult result, RunLoop(trainer, dir, view, interrupt).run());
  if (result.finished) {
    AGORA_ASSIGN_OR_RETURN(result.evaluation, measure(*trainer.model().model, trainer.pass(), task,
                                                      trainer.state().options.validate_rows, interrupt));
  }
  if (view.json) {
    print_line({{"event", result.finished ? "done" : "interrupted"},
                {"dir", dir},
                {"steps", result.steps},
                {"seconds", result.seconds},
                {"rows_per_second", result.rows_per_second},
                {"validation", evaluation_json(result.evaluation)},
                {"memory", memory_json()}});
  } else if (!result.finished) {
    std::cout << absl::StrFormat("Interrupted after step %d; saved. Go on with:\n  agora train --resume %s\n",
                                 result.steps, dir);
  } else if (view.summary) {
    AGORA_RETURN_IF_ERROR(print_summary(trainer, task, result));
  }
  return result;
}

}  // namespace

StatusOr<std::unique_ptr<weights::FolderClaim>> new_folder(const std::string& name) {
  for (int n = 1;; ++n) {
    const std::string dir = absl::StrCat("runs/", name, n == 1 ? "" : absl::StrCat("-", n));
    if (!weights::is_free(dir) && weights::file_exists(dir)) continue;
    auto claim = weights::FolderClaim::take(dir);  // where nothing can be, it says why
    if (absl::IsFailedPrecondition(claim.status()) || absl::IsUnimplemented(claim.status())) continue;
    // Whoever had it a moment ago may have filled it.
    if (!claim.ok() || weights::is_free(dir)) return claim;
  }
}

StatusOr<RunResult> start_run(train::TrainOptions options, Machine& machine, train::Task& task,
                              const RunView& view, const Interrupt& interrupt) {
  AGORA_ASSIGN_OR_RETURN(model::ModelConfig config, train::config_of(options));
  AGORA_ASSIGN_OR_RETURN(const kernels::Compute compute, machine.compute(options.precision));
  if (!options.out.empty()) options.out = lasting_name(options.out);
  AGORA_ASSIGN_OR_RETURN(const auto claim, free_folder(options));
  config = task.shape(config);
  AGORA_ASSIGN_OR_RETURN(model::LocalModel model, model::make_model(config, compute, tensor::Train::yes,
                                                                    Rng(options.seed).fork("weights")));
  model.tokenizer = task.tokenizer();
  if (claim != nullptr) options.out = claim->path();
  train::Trainer trainer(options, compute, task, model);
  return run(trainer, task, options.out, machine.table().name, view, interrupt);
}

StatusOr<RunResult> resume_run(const std::string& folder, const train::TrainOptions& changed,
                               const RunView& view, const Interrupt& interrupt) {
  const std::string dir = lasting_name(folder);
  AGORA_ASSIGN_OR_RETURN(train::TrainState state, train::read_run_state(dir));
  if (!changed.data.empty()) state.options.data = changed.data;
  if (changed.threads > 0) state.options.threads = changed.threads;
  if (changed.steps > 0) state.steps = changed.steps;
  AGORA_RETURN_IF_ERROR(train::validate(state.options));
  Machine machine(state.options.threads);
  AGORA_ASSIGN_OR_RETURN(const kernels::Compute compute, machine.compute(state.options.precision));
  AGORA_ASSIGN_OR_RETURN(model::LocalModel model, train::load_run(dir, compute));
  AGORA_ASSIGN_OR_RETURN(const auto task, data_for(dir, model, state.options, machine.pool()));
  if (task->fingerprint() != state.fingerprint) {
    std::cerr << "agora: the data has changed since the run was saved: it goes on, on the new data, but not "
                 "as if it "
                 "had never stopped\n";
    state.fingerprint = task->fingerprint();
  }
  train::Trainer trainer(state.options, compute, *task, model);
  trainer.restore(state);
  return run(trainer, *task, dir, machine.table().name, view, interrupt);
}

void print_data(const train::Task& task, const RunView& view) {
  if (view.json) {
    Json domains = Json::array();
    for (const train::DomainSummary& d : task.domains()) {
      domains.push_back({{"name", d.name},
                         {"bytes_train", d.bytes_train},
                         {"bytes_validation", d.bytes_validation},
                         {"rows_train", d.rows_train},
                         {"rows_validation", d.rows_validation}});
    }
    return print_line({{"event", "data"}, {"domains", domains}, {"notes", task.notes()}});
  }
  TerminalTable table({{"domain"},
                       {"bytes to train", Align::right},
                       {"to validate", Align::right},
                       {"rows to train", Align::right},
                       {"to validate", Align::right}});
  for (const train::DomainSummary& d : task.domains()) {
    table.add_row({d.name, with_thousands(d.bytes_train), with_thousands(d.bytes_validation),
                   with_thousands(d.rows_train), with_thousands(d.rows_validation)});
  }
  std::cout << table.text(inspect_terminal(STDOUT_FILENO).columns);
  constexpr size_t kNotesShown = 5;
  const auto& notes = task.notes();
  for (size_t i = 0; i < std::min(notes.size(), kNotesShown); ++i)
    std::cout << "  note: " << notes[i] << "\n";
  if (notes.size() > kNotesShown) std::cout << "  ... and " << notes.size() - kNotesShown << " more notes\n";
  std::cout << std::flush;
}

void print_gate_note(const train::TrainOptions& options, const model::ModelConfig& config) {
  if (!options.renormalise || config.gate.renormalise) return;
  std::cout << "  note: one expert is chosen, so weights are not renormalised: a weight that is always 1 "
               "teaches the gate nothing\n";
}

}  // namespace agora::cli
