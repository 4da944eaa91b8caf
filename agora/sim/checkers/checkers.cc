#include "agora/sim/checkers/checkers.h"

#include "absl/strings/str_format.h"
#include "agora/sim/checkers/answers.h"
#include "agora/sim/checkers/swarm_state.h"
#include "agora/sim/checkers/trunks.h"
#include "agora/sim/checkers/updates.h"

namespace agora::sim {
namespace {

// Where they do not, a peer that lives can not be told from one that is dead: then each side goes on.
bool messages_arrive(const FaultPlan& f) {
  return f.loss == 0 && f.partition_every_s == 0 && f.freeze_every_s == 0 && f.clog_every_s == 0 &&
         f.slow_every_s == 0 && f.clock_jump_every_s == 0;
}

}  // namespace

void Checkers::watch(Run& run, const Scenario& scenario) {
  const auto add = [&](auto checker) {
    run.histories().add(*checker);
    checkers_.push_back(std::move(checker));
  };
  const World& world = run.world();
  const bool arrive = messages_arrive(scenario.faults);
  add(std::make_unique<AnswersAddUp>(world, verdict_));
  add(std::make_unique<UpdatesAppliedOnce>(lines_, verdict_));
  if (arrive) {
    add(std::make_unique<LossWindowKept>(lines_, ns_of(scenario.loss_window_s), run.gives_up_at_once(),
                                         verdict_));
    add(std::make_unique<ExpertsSurvive>(world, lines_, verdict_));
  }
  add(std::make_unique<LeadersAgree>(arrive, verdict_));
  add(std::make_unique<ViewsConverge>(verdict_));
  add(std::make_unique<NothingWaits>(ns_of(scenario.deadline_s), verdict_));
  add(std::make_unique<TrunksAgree>(scenario.trainers, ns_of(scenario.think_ms / 1e3), verdict_));
  add(std::make_unique<QueuesBounded>(verdict_));
  add(std::make_unique<MemoryBounded>(verdict_));
  run.histories().add(lines_);  // last: checkers compare with what was before
  run.each_sample([this](World& looked_at, bool) {
    for (const auto& checker : checkers_) checker->look(looked_at);
  });
}

void Checkers::judge_end(const RunReport& report) {
  if (!report.callers_left) return;
  verdict_.add(
      {"nothing waits", report.ended_ns, "nobody to wait when all deadlines are over", "somebody does"});
}

// With time for a question that is asked when all has settled.
Status long_enough(const Scenario& scenario) {
  const double least_s = static_cast<double>(kSettleNs) / 1e9 + scenario.deadline_s;
  if (scenario.calm_s >= least_s) return absl::OkStatus();
  return absl::InvalidArgumentError(
      base::concat("calm_s: expected ", least_s, " or more to be checked, ", kSettleNs / kSecondNs,
                   " until all has settled and a question's deadline_s; got ", scenario.calm_s));
}

std::string verdict_text(const Verdict& verdict) {
  std::string text;
  for (const Violation& v : verdict.kept()) {
    text += absl::StrFormat("%s, at %.3f s\n  expected %s\n  came     %s\n", v.property,
                            static_cast<double>(v.at_ns) / 1e9, v.expected, v.came);
  }
  if (verdict.count() > verdict.kept().size()) {
    text += absl::StrFormat("and %d more\n", verdict.count() - verdict.kept().size());
  }
  return text;
}

}  // namespace agora::sim
