// One training run as the user sees it: what is read, a progress line, a saved folder, a summary.
//
//   AGORA_ASSIGN_OR_RETURN(RunResult r, start_run(options, machine, *task, view, interrupt));
//   AGORA_ASSIGN_OR_RETURN(RunResult r, resume_run(dir, ...));
#pragma once

#include <memory>
#include <string>

#include "agora/train/run_folder.h"
#include "agora/train/trainer.h"
#include "agora/weights/folder_claim.h"

#include "apps/cli/command.h"
#include "apps/cli/machine.h"

namespace agora::cli {

// How to show it.
struct RunView {
  bool json = false;    // JSON lines on standard output, nothing else there
  bool summary = true;  // sample, perplexities and experts at the end
};

struct RunResult {
  std::string dir;
  bool finished = false;  // false: interrupted, saved
  train::Evaluation evaluation;
  int64_t parameters = 0;
  int64_t parameters_active = 0;
  int64_t steps = 0;
  double seconds = 0;
  double rows_per_second = 0;
};

// The first of runs/NAME, runs/NAME-2, ... that is free and that no other run has claimed, made and claimed.
// An error says why nothing can be there.
StatusOr<std::unique_ptr<weights::FolderClaim>> new_folder(const std::string& name);

// Trains from the first step. The folder is options.out, where nothing may be yet, or a new one under runs/.
StatusOr<RunResult> start_run(train::TrainOptions options, Machine& machine, train::Task& task,
                              const RunView& view, const Interrupt& interrupt);

// Goes on where the run in `folder` was saved. `changed` holds the options of the command line; of those,
// data, steps, threads count. The rest is the run's own.
StatusOr<RunResult> resume_run(const std::string& folder, const train::TrainOptions& changed,
                               const RunView& view, const Interrupt& interrupt);

// What was read, as a table (or JSON), with what was skipped.
void print_data(const train::Task& task, const RunView& view);
// Where the gate's weights are not what --renormalise says (train/options.h), as text.
void print_gate_note(const train::TrainOptions& options, const model::ModelConfig& config);

}  // namespace agora::cli
