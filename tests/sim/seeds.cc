// Runs simulations - random ones, one for each seed from FIRST to LAST, or a scenario's - and judges them.
//
//   sim_seeds FIRST LAST [--first-failure]
//   sim_seeds SCENARIO.toml SEED
//   sim_seeds --write SEED                   prints the random scenario of a seed, to be kept as a file
//
// Prints of every run that broke a property what was expected, what came, and the command that repeats it.
// Exit code 1: there was one. A run that hangs is the last: it has failed. Small enough to be built and run
// by planted_bugs many times.
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

#include "agora/base/text.h"
#include "agora/sim/checkers/checkers.h"
#include "agora/sim/random_scenario.h"
#include "agora/sim/run.h"
#include "agora/weights/atomic_file.h"

namespace {

using namespace agora::sim;
using agora::base::concat;
using agora::base::listed;

constexpr int64_t kScenarioBytesMax = 1 << 20;

// A run takes half a second, a hundred times as long under a sanitizer on a busy machine.
constexpr unsigned kRunSecondsMax = 300;

// What to say of the run that goes on if a check of ours or the alarm ends it: a signal's handler finds
// nothing else.
char if_aborted[512], if_hung[512];

void tell_if_aborted(int) {
  if (::write(STDOUT_FILENO, if_aborted, std::strlen(if_aborted)) < 0) return;
}

void tell_that_it_hangs(int) {
  if (::write(STDOUT_FILENO, if_hung, std::strlen(if_hung)) < 0) ::_exit(2);
  ::_exit(1);
}

// `where`: what `agora sim` is given to run it, a file or "random".
bool run_well(const Scenario& scenario, uint64_t seed, const std::string& where) {
  const std::string repeat = concat("repeat it with: agora sim ", where, " --seed ", seed, "\n");
  std::snprintf(if_aborted, sizeof if_aborted, "seed %s failed:\na check of ours, see above\n%s",
                concat(seed).c_str(), repeat.c_str());
  std::snprintf(if_hung, sizeof if_hung, "seed %s failed:\nthe run hangs: %u s\n%s", concat(seed).c_str(),
                kRunSecondsMax, repeat.c_str());
  ::alarm(kRunSecondsMax);
  Checkers checkers;
  Run run(scenario, seed);
  checkers.watch(run, scenario);
  const RunReport report = run.go();
  checkers.judge_end(report);
  if (checkers.verdict().ok()) return true;
  const std::string text =
      concat("seed ", seed, " failed:\n", verdict_text(checkers.verdict()),
             "faults: ", listed(report.kinds_on), "; limits set low: ", listed(report.rare), "\n", repeat);
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
  return false;
}

bool read_number(const char* text, uint64_t* number) {
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), *number);
  return error == std::errc() && *end == '\0';
}

int run_random(uint64_t first, uint64_t last, bool stops) {
  uint64_t failed = 0, ran = 0;
  for (uint64_t seed = first; seed <= last; ++seed) {
    ++ran;
    if (run_well(random_scenario(seed), seed, "random")) continue;
    ++failed;
    if (stops) break;
  }
  std::puts(concat(ran - failed, " passed, ", failed, " failed").c_str());
  return failed == 0 ? 0 : 1;
}

int run_file(const std::string& path, uint64_t seed) {
  const auto toml = agora::weights::read_file(path, kScenarioBytesMax);
  const auto scenario = toml.ok() ? parse_scenario(*toml, path) : toml.status();
  const auto status = scenario.ok() ? long_enough(*scenario) : scenario.status();
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    return 2;
  }
  const bool well = run_well(*scenario, seed, path);
  std::puts(well ? "1 passed, 0 failed" : "0 passed, 1 failed");
  return well ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGABRT, tell_if_aborted);
  std::signal(SIGALRM, tell_that_it_hangs);
  uint64_t first = 0, last = 0;
  const bool stops = argc == 4 && std::string(argv[3]) == "--first-failure";
  if ((argc == 3 || stops) && read_number(argv[2], &last)) {
    if (read_number(argv[1], &first) && first <= last) return run_random(first, last, stops);
    if (std::string(argv[1]) == "--write") {
      std::fputs(scenario_text(random_scenario(last)).c_str(), stdout);
      return 0;
    }
    if (!stops) return run_file(argv[1], last);
  }
  std::fprintf(stderr, "usage: sim_seeds FIRST LAST [--first-failure] | SCENARIO.toml SEED | --write SEED\n");
  return 2;
}
