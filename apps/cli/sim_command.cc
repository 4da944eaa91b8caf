#include "apps/cli/sim_command.h"

#include <cstdio>
#include <memory>
#include <string>

#include "agora/sim/timeline.h"
#include "agora/weights/atomic_file.h"

#include "apps/cli/sim_page.h"

namespace agora::cli {
namespace {

constexpr int64_t kScenarioBytesMax = 1 << 20;

struct SimFlags {
  std::string scenario;
  uint64_t seed = 1;
  int64_t peers = 0;  // 0: the scenario's
  double hours = 0;   // likewise
  std::string html;   // empty: no page
};

StatusOr<sim::Scenario> read_scenario(const SimFlags& flags) {
  AGORA_ASSIGN_OR_RETURN(const std::string toml, weights::read_file(flags.scenario, kScenarioBytesMax));
  AGORA_ASSIGN_OR_RETURN(sim::Scenario scenario, sim::parse_scenario(toml, flags.scenario));
  if (flags.peers > 0) scenario.hosts = flags.peers;
  if (flags.hours > 0) scenario.faults_s = flags.hours * 3600;
  AGORA_RETURN_IF_ERROR(sim::validate(scenario));
  return scenario;
}

Status simulate(const SimFlags& flags) {
  AGORA_ASSIGN_OR_RETURN(const sim::Scenario scenario, read_scenario(flags));
  sim::Run run(scenario, flags.seed);
  sim::Timeline timeline;
  timeline.watch(run);
  const sim::RunReport report = run.go();
  std::fputs(sim::run_text(report).c_str(), stdout);
  if (flags.html.empty()) return absl::OkStatus();
  return weights::write_file_atomic(flags.html, sim_page(report, timeline));
}

}  // namespace

void add_sim_command(CLI::App& app, CommandResult& result) {
  auto flags = std::make_shared<SimFlags>();
  CLI::App* command = app.add_subcommand(
      "sim", "Runs a swarm of thousands of peers in one thread: faults, then calm, and what came of it");
  command->add_option("SCENARIO", flags->scenario, "TOML file; see docs/simulation.md")->required();
  command->add_option("--seed", flags->seed, "the same seed prints the same bytes, on any machine");
  command->add_option("--peers", flags->peers, "hosts, instead of the scenario's");
  command->add_option("--hours", flags->hours, "of faults, instead of the scenario's");
  command->add_option("--html", flags->html, "also draws the run as one page, into this file");
  command->callback([flags, &result] { result.exit_code = report(simulate(*flags)); });
}

}  // namespace agora::cli
