// agora up: a swarm of processes on this machine, trained and asked.
#include "absl/strings/str_cat.h"

#include "apps/cli/flag_checks.h"
#include "apps/cli/swarm/swarm_command.h"
#include "apps/cli/swarm/up_run.h"

namespace agora::cli {

void add_up_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result) {
  auto flags = std::make_shared<UpFlags>();
  CLI::App* command =
      app.add_subcommand("up", "Start a whole swarm on this machine: agora up RECIPE [flags]");
  command->option_defaults()->always_capture_default()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  command->add_option("--hosts", flags->hosts, "processes that hold experts")
      ->check(CLI::Range(1, kHostsMax));
  command->add_option("--trainers", flags->trainers, "processes that train")
      ->check(CLI::Range(0, kTrainersMax));
  command->add_option("--servers", flags->servers, "processes that answer")
      ->check(CLI::Range(0, kServersMax));
  command->add_option("--room", flags->room, "experts that a host holds at most")->check(above_zero());
  command->add_option("--rows", flags->rows, "how rows travel from trainers to hosts: bf16, f32, int8")
      ->check(CLI::IsMember({"f32", "bf16", "int8"}));
  add_rule_flags(*command, flags->rules);
  command->add_option(
      "--resume", flags->resume,
      "go on with the swarm of this folder, also one that was killed: of the recipe --data, --steps and "
      "--minutes count (in all). If not said: the data, key, --rows and --room that it had, and as many "
      "processes");
  command->add_option("--listen", flags->listen, "HOST:PORT of this process; the others take HOST, any port");
  command->add_option("--http", flags->http, "likewise for the page, /feed, /status and /metrics; off: none");
  command->add_option("--swarm-key", flags->swarm_key_file, "file with the key of a private swarm");
  command->add_flag("--respawn", flags->respawn, "start again what ended by itself and not well");
  command->add_flag("--once", flags->once, "end when training has ended, instead of answering until Ctrl-C");
  command->add_flag("--plain", flags->plain, "lines instead of a screen");
  command->add_flag("--json", flags->json, "JSON lines");
  train::for_each_option(flags->options, [&](const char* name, auto& field, const char* help) {
    command->add_option(absl::StrCat("--", name), field, help)->group("The recipe");
  });
  command->footer(
      "RECIPE is a folder with config.toml, or a TOML file, as for agora train. Other commands find the "
      "swarm by\n"
      "themselves: agora peers, agora experts, agora ask --swarm \"text\".");
  command->callback([flags, command, &interrupt, &result] {
    flags->said = {.hosts = command->count("--hosts") > 0,
                   .trainers = command->count("--trainers") > 0,
                   .servers = command->count("--servers") > 0,
                   .room = command->count("--room") > 0,
                   .rows = command->count("--rows") > 0,
                   .data = command->count("--data") > 0,
                   .swarm_key = command->count("--swarm-key") > 0};
    if (!flags->resume.empty() && command->count("--steps") > 0) flags->steps_resumed = flags->options.steps;
    if (!flags->resume.empty() && command->count("--minutes") > 0)
      flags->minutes_resumed = flags->options.minutes;
    result.exit_code = report(UpRun(*flags, interrupt).run());
  });
}

}  // namespace agora::cli
