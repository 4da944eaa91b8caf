// Runs random scenarios, one for each seed from FIRST to LAST, and judges them.
//
//   sim_seeds FIRST LAST [--first-failure]
//
// Prints of every run that broke a property what was expected, what came, and the command that repeats it.
// Exit code 1: there was one. Small enough to be built and run by planted_bugs many times.
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

#include "agora/base/text.h"
#include "agora/sim/checkers/checkers.h"
#include "agora/sim/random_scenario.h"
#include "agora/sim/run.h"

namespace {

using namespace agora::sim;

bool run_seed(uint64_t seed) {
  const Scenario scenario = random_scenario(seed);
  Checkers checkers;
  Run run(scenario, seed);
  checkers.watch(run, scenario);
  const RunReport report = run.go();
  checkers.judge_end(report);
  if (checkers.verdict().ok()) return true;
  std::printf("seed %llu failed:\n%s", static_cast<unsigned long long>(seed),
              verdict_text(checkers.verdict()).c_str());
  std::printf("faults: %s; limits set low: %s\nrepeat it with: agora sim random --seed %llu\n",
              agora::base::listed(report.kinds_on).c_str(), agora::base::listed(report.rare).c_str(),
              static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  return false;
}

bool read_number(const char* text, uint64_t* number) {
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), *number);
  return error == std::errc() && *end == '\0';
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t first = 0, last = 0;
  const bool stops = argc == 4 && std::string(argv[3]) == "--first-failure";
  if (argc < 3 || (argc > 3 && !stops) || !read_number(argv[1], &first) || !read_number(argv[2], &last)) {
    std::fprintf(stderr, "usage: sim_seeds FIRST LAST [--first-failure]\n");
    return 2;
  }
  uint64_t failed = 0, ran = 0;
  for (uint64_t seed = first; seed <= last; ++seed) {
    ++ran;
    if (run_seed(seed)) continue;
    ++failed;
    if (stops) break;
  }
  std::printf("%llu passed, %llu failed\n", static_cast<unsigned long long>(ran - failed),
              static_cast<unsigned long long>(failed));
  return failed == 0 ? 0 : 1;
}
