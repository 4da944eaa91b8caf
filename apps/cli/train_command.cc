#include <malloc.h>
#include <unistd.h>

#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include <CLI/CLI.hpp>

#include "apps/cli/command.h"
#include "apps/cli/swarm/swarm_command.h"
#include "apps/cli/terminal_device.h"
#include "apps/cli/terminal_table.h"
#include "apps/cli/training_run.h"

namespace agora::cli {
namespace {

struct TrainFlags {
  train::TrainOptions options;
  std::string resume;
  std::vector<std::string> twins;  // empty: options.twin alone
  std::vector<uint64_t> seeds;     // empty: options.seed alone
  bool json = false;
  TrainerFlags swarm;  // with --join or --spec
};

struct Variant {
  std::string twin;
  uint64_t seed;
  RunResult result;
};

void print_comparison(const std::vector<Variant>& variants, bool classes) {
  TerminalTable table({{"model"},
                       {"seed", Align::right},
                       {"parameters", Align::right},
                       {"active", Align::right},
                       {"steps", Align::right},
                       {classes ? "error" : "validation loss", Align::right},
                       {"seconds", Align::right}});
  for (const Variant& v : variants) {
    const train::Score& total = v.result.evaluation.total;
    table.add_row(
        {v.twin == "none" ? "mixture" : absl::StrCat(v.twin, " twin"), absl::StrCat(v.seed),
         with_thousands(v.result.parameters), with_thousands(v.result.parameters_active),
         with_thousands(v.result.steps),
         classes ? absl::StrFormat("%.2f %%", 100 * total.error()) : absl::StrFormat("%.4f", total.loss()),
         absl::StrFormat("%.0f", v.result.seconds)});
  }
  std::cout << "\n" << table.text(inspect_terminal(STDOUT_FILENO).columns);
}

Status train_variants(const TrainFlags& flags, const Interrupt& interrupt) {
  const std::vector<std::string> twins = flags.twins.empty() ? std::vector{flags.options.twin} : flags.twins;
  const std::vector<uint64_t> seeds = flags.seeds.empty() ? std::vector{flags.options.seed} : flags.seeds;
  for (const std::string& twin : twins) {  // before the first is trained
    train::TrainOptions options = flags.options;
    options.twin = twin;
    AGORA_RETURN_IF_ERROR(train::config_of(options).status());
  }
  Machine machine(flags.options.threads);
  AGORA_ASSIGN_OR_RETURN(const auto task, train::make_task(flags.options, nullptr, machine.pool()));
  const bool several = twins.size() * seeds.size() > 1;
  RunView view{.json = flags.json, .summary = !several};
  print_data(*task, view);
  malloc_trim(0);  // the text and what the tokenizer was made from are gone: their pages go too
  std::vector<Variant> variants;
  for (const std::string& twin : twins) {
    for (const uint64_t seed : seeds) {
      train::TrainOptions options = flags.options;
      options.twin = twin;
      options.seed = seed;
      if (several)
        options.name = absl::StrCat(options.name, "-", twin == "none" ? "mixture" : twin, "-seed", seed);
      if (several && !options.out.empty()) options.out = absl::StrCat(options.out, "/", options.name);
      task->restart(options);
      AGORA_ASSIGN_OR_RETURN(RunResult result, start_run(options, machine, *task, view, interrupt));
      variants.push_back({twin, seed, std::move(result)});
      if (interrupt.load()) return absl::OkStatus();
    }
  }
  if (several && !flags.json) print_comparison(variants, flags.options.task == "images");
  return absl::OkStatus();
}

// In a swarm the specification says what is learned; of this command line the machine's own part counts.
Status train_with_others(const TrainFlags& flags, const CLI::App& command, const Interrupt& interrupt) {
  TrainerFlags trainer = flags.swarm;
  trainer.node.json = flags.json;
  trainer.data = flags.options.data;
  trainer.threads = flags.options.threads;
  trainer.resume = flags.resume;
  if (command.count("--steps") > 0) trainer.steps = flags.options.steps;
  if (command.count("--minutes") > 0) trainer.minutes = flags.options.minutes;
  return run_trainer(trainer, interrupt);
}

Status train(const TrainFlags& flags, const CLI::App& command, const Interrupt& interrupt) {
  if (!flags.swarm.node.join.empty() || !flags.swarm.node.spec.empty()) {
    return train_with_others(flags, command, interrupt);
  }
  if (flags.resume.empty()) return train_variants(flags, interrupt);
  return resume_run(flags.resume, flags.options, {.json = flags.json}, interrupt).status();
}

}  // namespace

void add_train_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result) {
  auto flags = std::make_shared<TrainFlags>();
  CLI::App* command = app.add_subcommand("train", "Train a model: agora train RECIPE [flags]");
  command->option_defaults()->always_capture_default()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  for_each_option(flags->options, [&](const char* name, auto& field, const char* help) {
    command->add_option(absl::StrCat("--", name), field, help);
  });
  command->add_option("--resume", flags->resume,
                      "go on with the run in this folder (--data, --steps, --threads may change)");
  command
      ->add_option("--twins", flags->twins, "train each of these in turn and print a table: none,dense,wide")
      ->delimiter(',')
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--seeds", flags->seeds, "likewise with each of these seeds: 1,2,3")
      ->delimiter(',')
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_flag("--json", flags->json, "JSON lines instead of text");
  add_trainer_flags(*command, flags->swarm);
  command->footer(
      "RECIPE is a folder with config.toml, or a TOML file: lines of `flag = value` with these flags' "
      "names.\n"
      "Flags after it win. Ctrl-C saves and says how to go on.\n"
      "With --join (or --spec) it trains in a swarm: what is learned is then the swarm's, and of this "
      "command\n"
      "line --data, --threads, --steps, --minutes and --resume count.");
  command->callback([flags, command, &interrupt, &result] {
    result.exit_code = report(train(*flags, *command, interrupt));
  });
}

}  // namespace agora::cli
