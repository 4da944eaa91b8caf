// agora spec make RECIPE --file FILE: what all peers of a swarm will agree on, as one file.
#include <iostream>

#include "absl/strings/str_cat.h"
#include <CLI/CLI.hpp>

#include "apps/cli/machine.h"
#include "apps/cli/swarm/swarm_command.h"
#include "apps/cli/swarm/swarm_recipe.h"

namespace agora::cli {
namespace {

struct SpecFlags {
  train::TrainOptions options;
  SwarmRules rules;
  std::string file;
};

Status make(const SpecFlags& flags) {
  if (flags.file.empty()) return absl::InvalidArgumentError("expected --file FILE to write to");
  AGORA_RETURN_IF_ERROR(train::config_of(flags.options).status());  // before anything is read
  Machine machine(flags.options.threads);
  AGORA_ASSIGN_OR_RETURN(const auto task, train::make_task(flags.options, nullptr, machine.pool()));
  AGORA_ASSIGN_OR_RETURN(const swarm::SwarmSpec spec, make_spec(flags.options, flags.rules, *task));
  AGORA_RETURN_IF_ERROR(write_spec(spec, flags.file));
  std::cout << flags.file << "\n" << spec.id().text() << "\n";
  return absl::OkStatus();
}

}  // namespace

void add_spec_command(CLI::App& app, CommandResult& result) {
  CLI::App* spec = app.add_subcommand("spec", "What all peers of a swarm agree on");
  spec->require_subcommand(1);
  auto flags = std::make_shared<SpecFlags>();
  CLI::App* command = spec->add_subcommand(
      "make",
      "Read the data, make the tokenizer, write the specification: agora spec make RECIPE --file FILE");
  command->option_defaults()->always_capture_default()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  train::for_each_option(flags->options, [&](const char* name, auto& field, const char* help) {
    if (std::string_view(name) == "out") return;  // of a run's folder; a specification has --file
    command->add_option(absl::StrCat("--", name), field, help);
  });
  add_rule_flags(*command, flags->rules);
  command->add_option("--file", flags->file, "where to write it; its SHA-256 is the swarm's name");
  command->callback([flags, &result] { result.exit_code = report(make(*flags)); });
}

}  // namespace agora::cli
