#include "apps/cli/sim_command.h"

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agora/sim/checkers/checkers.h"
#include "agora/sim/quality.h"
#include "agora/sim/random_scenario.h"
#include "agora/sim/timeline.h"
#include "agora/weights/atomic_file.h"
#include <CLI/CLI.hpp>

#include "apps/cli/flag_checks.h"
#include "apps/cli/sim_page.h"

namespace agora::cli {
namespace {

constexpr int64_t kScenarioBytesMax = 1 << 20;
constexpr int64_t kReplicasCompared = 3;
constexpr std::string_view kRandom = "random";  // in place of a file: drawn from the seed

struct SimFlags {
  std::string scenario;
  uint64_t seed = 1;
  int64_t peers = 0;  // 0: the scenario's
  double hours = 0;   // likewise
  bool check = false;
  std::string html;           // empty: no page
  int64_t quality_steps = 0;  // 0: a run, not the quality of a trained model
};

StatusOr<sim::Scenario> read_scenario(const SimFlags& flags) {
  if (flags.scenario == kRandom) {
    if (flags.peers == 0 && flags.hours == 0) return sim::random_scenario(flags.seed);
    return absl::InvalidArgumentError(
        "sim random: expected neither --peers nor --hours: the seed says how many and how long; change a "
        "scenario's file by them");
  }
  AGORA_ASSIGN_OR_RETURN(const std::string toml, weights::read_file(flags.scenario, kScenarioBytesMax));
  AGORA_ASSIGN_OR_RETURN(sim::Scenario scenario, sim::parse_scenario(toml, flags.scenario));
  if (flags.peers > 0) scenario.hosts = flags.peers;
  if (flags.hours > 0) scenario.faults_s = flags.hours * 3600;
  AGORA_RETURN_IF_ERROR(sim::validate(scenario));
  return scenario;
}

Status compare_quality(const SimFlags& flags, const sim::Scenario& scenario) {
  std::vector<sim::QualityCurve> curves;
  for (int64_t replicas = 1; replicas <= kReplicasCompared; ++replicas) {
    AGORA_ASSIGN_OR_RETURN(curves.emplace_back(),
                           sim::measure_quality(scenario, flags.seed, replicas, flags.quality_steps));
  }
  std::fputs(sim::quality_text(scenario, flags.seed, curves).c_str(), stdout);
  if (flags.html.empty()) return absl::OkStatus();
  return weights::write_file_atomic(flags.html, quality_page(scenario, flags.seed, curves));
}

Status simulate(const SimFlags& flags) {
  AGORA_ASSIGN_OR_RETURN(const sim::Scenario scenario, read_scenario(flags));
  if (flags.quality_steps > 0) return compare_quality(flags, scenario);
  const bool checks = flags.check || flags.scenario == kRandom;
  if (checks) AGORA_RETURN_IF_ERROR(sim::long_enough(scenario));
  sim::Checkers checkers;
  sim::Run run(scenario, flags.seed);
  if (checks) checkers.watch(run, scenario);
  sim::Timeline timeline;
  timeline.watch(run);
  const sim::RunReport report = run.go();
  std::fputs((sim::run_text(report) + sim::timeline_text(timeline)).c_str(), stdout);
  if (!flags.html.empty()) {
    AGORA_RETURN_IF_ERROR(weights::write_file_atomic(flags.html, sim_page(report, timeline)));
  }
  checkers.judge_end(report);
  if (checkers.verdict().ok()) return absl::OkStatus();
  return absl::InternalError("the swarm broke what it promises:\n" + sim::verdict_text(checkers.verdict()));
}

}  // namespace

void add_sim_command(CLI::App& app, CommandResult& result) {
  auto flags = std::make_shared<SimFlags>();
  CLI::App* command = app.add_subcommand(
      "sim", "Runs a swarm of thousands of peers in one thread: faults, then calm, and what came of it");
  command
      ->add_option("SCENARIO", flags->scenario,
                   "TOML file, or random: drawn from the seed; see docs/simulation.md")
      ->required();
  command->add_option("--seed", flags->seed, "the same seed prints the same bytes, on any machine");
  command->add_option("--peers", flags->peers, "hosts, instead of the scenario's")->check(above_zero());
  command->add_option("--hours", flags->hours, "of faults, instead of the scenario's")->check(above_zero());
  command->add_flag(
      "--check", flags->check,
      "judges what every run must keep, as random runs are; calm_s has to be 60 and deadline_s");
  command->add_option("--html", flags->html, "also draws the run as one page, into this file");
  command
      ->add_option(
          "--quality", flags->quality_steps,
          "instead: trains a small model for so many steps, then asks it while messages are lost and "
          "hosts are dead, with 1, 2 and 3 replicas")
      ->check(CLI::Range(1, 1'000'000));
  command->callback([flags, &result] { result.exit_code = report(simulate(*flags)); });
}

}  // namespace agora::cli
