// All checkers of a run together.
//
//   AGORA_RETURN_IF_ERROR(long_enough(scenario));
//   Checkers checkers;   Run run(scenario, seed);   checkers.watch(run, scenario);
//   checkers.judge_end(run.go());
//   if (!checkers.verdict().ok()) print(verdict_text(checkers.verdict()));
//
// They outlive the run, whose peers' last facts are told when it goes. One thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agora/sim/checkers/checker.h"
#include "agora/sim/checkers/lines.h"
#include "agora/sim/run.h"

namespace agora::sim {

class Checkers {
 public:
  void watch(Run& run, const Scenario& scenario);  // before run.go()

  // Also what only the end shows: that nobody waits any more.
  void judge_end(const RunReport& report);
  const Verdict& verdict() const { return verdict_; }

 private:
  Verdict verdict_;
  Lines lines_;
  std::vector<std::unique_ptr<Checker>> checkers_;
};

// InvalidArgument: the scenario's calm is shorter than it takes to settle: nothing would be judged in it.
Status long_enough(const Scenario& scenario);

// What was expected, what came, and when: a few lines.
std::string verdict_text(const Verdict& verdict);

}  // namespace agora::sim
