#include <unistd.h>

#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agora/base/text.h"
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "apps/cli/bench_engine.h"
#include "apps/cli/command.h"
#include "apps/cli/swarm/bench_swarm.h"
#include "apps/cli/terminal_device.h"
#include "apps/cli/terminal_table.h"

namespace agora::cli {
namespace {

struct BenchFlags {
  EngineBench engine;
  SwarmBench swarm;
  bool json = false;
};

void print_line(const BenchLine& line) {
  nlohmann::ordered_json json{{"name", line.name},
                              {"case", line.shape},
                              {"threads", line.threads},
                              {"value", line.value},
                              {"unit", line.unit}};
  if (line.yardstick_value > 0) {
    json["yardstick"] = line.yardstick;
    json["yardstick_value"] = line.yardstick_value;
    json["ratio"] = line.ratio;
  } else {
    json["yardstick"] =
        line.yardstick.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(line.yardstick);
    json["yardstick_value"] = nullptr;
    json["ratio"] = nullptr;
  }
  std::cout << json.dump() << std::endl;
}

void print_table(const std::vector<BenchLine>& lines) {
  TerminalTable table({{"bench"},
                       {"case"},
                       {"threads", Align::right},
                       {"value", Align::right},
                       {"unit"},
                       {"yardstick"},
                       {"yardstick's", Align::right},
                       {"ratio", Align::right}});
  for (const BenchLine& line : lines) {
    const bool compared = line.yardstick_value > 0;
    table.add_row({line.name, line.shape, absl::StrCat(line.threads), absl::StrFormat("%.4g", line.value),
                   line.unit, line.yardstick, compared ? absl::StrFormat("%.4g", line.yardstick_value) : "",
                   compared ? absl::StrFormat("%.2f", line.ratio) : ""});
  }
  std::cout << table.text(inspect_terminal(STDOUT_FILENO).columns);
}

using Bench = std::function<Status(absl::FunctionRef<void(const BenchLine&)> show)>;

// only: how the names of the lines shall begin.
Status run(const Bench& bench, const std::string& only, bool json) {
  std::vector<BenchLine> lines;
  const auto show = [&](const BenchLine& line) {
    lines.push_back(line);
    if (json) {
      print_line(line);
    } else {
      std::cerr << absl::StrFormat("%s %s, %d threads: %.4g %s\n", line.name, line.shape, line.threads,
                                   line.value, line.unit);
    }
  };
  AGORA_RETURN_IF_ERROR(bench(show));
  if (lines.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--only: expected how a line's name begins, found ",
                                                   base::in_quotes(only), "; without it all are shown"));
  }
  if (!json) print_table(lines);
  return absl::OkStatus();
}

}  // namespace

void add_bench_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result) {
  auto flags = std::make_shared<BenchFlags>();
  CLI::App* command = app.add_subcommand("bench", "Measure this machine: each line beside its yardstick");
  command->require_subcommand(1);
  CLI::App* engine = command->add_subcommand("engine", "Expert kernels, a training step, start-up, memory");
  engine->option_defaults()->always_capture_default();
  engine->add_option("--only", flags->engine.only, "lines whose names begin so");
  engine->add_option("--outside", flags->engine.outside,
                     "folder of other people's programs; empty: build-outside (tools/outside)");
  engine->add_option("--seconds", flags->engine.seconds, "for each measurement")->check(CLI::PositiveNumber);
  engine->add_flag("--json", flags->json, "one JSON object a line");
  engine->callback([flags, &result] {
    const EngineBench& bench = flags->engine;
    result.exit_code =
        report(run([&](auto show) { return bench_engine(bench, show); }, bench.only, flags->json));
  });
  CLI::App* swarm =
      command->add_subcommand("swarm", "What a swarm costs on this machine: rows, training, discovery");
  swarm->option_defaults()->always_capture_default();
  swarm->add_option("--only", flags->swarm.only, "lines whose names begin so");
  swarm->add_option("--seconds", flags->swarm.seconds, "for each measurement")->check(CLI::PositiveNumber);
  swarm->add_flag("--json", flags->json, "one JSON object a line");
  swarm->callback([flags, &interrupt, &result] {
    const SwarmBench& bench = flags->swarm;
    result.exit_code =
        report(run([&](auto show) { return bench_swarm(bench, interrupt, show); }, bench.only, flags->json));
  });
}

}  // namespace agora::cli
