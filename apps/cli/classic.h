// `agora classic`: the mixtures of 1991 to 1995 on a small data set, beside a single network of equal size.
//
//   AGORA_ASSIGN_OR_RETURN(const ClassicReport report, run_classic(options));
//   add_classic_command(app, result);   // the same from the command line
//
// Trials run on a pool of their own; the numbers do not depend on its threads.
#pragma once

#include <string>
#include <vector>

#include "apps/cli/classic_vowel.h"
#include "apps/cli/command.h"

namespace agora::cli {

struct ClassicOptions {
  std::string recipe = "vowel";
  std::string data;
  ClassicModel model;
  double network_decay = 8;      // of the network beside it, chosen as carefully as the mixture's own
  int network_iterations = 200;  // of L-BFGS, likewise
  int seeds = 10;                // trials, with seeds 0, 1, ...
  int threads = 0;               // 0: one per processor
  bool cross_validate = false;   // leave each training speaker out in turn; the test rows are not looked at
};

// Shares of test rows named right, one number a seed (cross-validated: the mean over the speakers).
struct ClassicScores {
  int64_t parameters = 0;  // of one member
  int hidden = 0;
  std::vector<double> single;
  std::vector<double> committee;
};

struct ClassicReport {
  ClassicScores mixture;
  ClassicScores network;
  // [E, classes] mean responsibility of the first trial's first mixture; empty if cross-validated.
  Matrix expert_by_class;
};

StatusOr<ClassicReport> run_classic(const ClassicOptions& options);

void add_classic_command(CLI::App& app, CommandResult& result);

}  // namespace agora::cli
