// One run of a scenario: warm up, faults, calm, and what came of it.
//
//   Run run(scenario, seed);
//   run.histories().add(checker);          // before go()
//   const RunReport report = run.go();
//   print(run_text(report));               // the same bytes for the same scenario and seed, on any machine
//
// What happens first and last is the same in every run: hosts start, and after the warm-up gates and
// trainers; then the Nemesis; then calm, in which everything must come right; then
// gates stop asking, and whoever still waits then waits for ever. One thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agora/sim/nemesis.h"
#include "agora/sim/scenario.h"
#include "agora/sim/tally.h"
#include "agora/sim/world.h"

namespace agora::sim {

struct RunReport {
  Scenario scenario;
  uint64_t seed = 0;
  std::vector<std::string> kinds_on;  // of faults
  std::vector<std::string> rare;      // limits that were set very low
  uint64_t fault_events = 0;
  int64_t began_ns = 0, calm_ns = 0, ended_ns = 0;  // of the gates' first question; of the faults' end
  Totals totals, in_calm;                           // in_calm: counts only; latencies are of the whole run
  std::vector<Sample> samples;
  NetworkCounters network;
  uint64_t bytes_per_peer_mean = 0, bytes_per_peer_max = 0;  // sent and received, a second
  bool callers_left = false;                                 // somebody waits for ever
  ExpertCounts experts;                                      // at the end
};

class Run {
 public:
  // The scenario is valid.
  Run(const Scenario& scenario, uint64_t seed);
  ~Run();

  Histories& histories() { return histories_; }
  World& world() { return *world_; }
  // Called every sample_ns of virtual time, and at the end: for checkers that look at state.
  void each_sample(std::function<void(World&, bool calm)> look) { looks_.push_back(std::move(look)); }
  int64_t sample_ns() const { return sample_ns_; }
  // A limit that was set very low: one probe that comes late, and a host that lives is taken for dead.
  bool gives_up_at_once() const { return gives_up_at_once_; }

  RunReport go();

 private:
  void pass(double seconds, bool calm);

  const Scenario scenario_;
  const uint64_t seed_;
  std::vector<std::string> rare_;
  bool gives_up_at_once_ = false;
  int64_t sample_ns_;
  Histories histories_;
  Tally tally_;
  std::unique_ptr<World> world_;
  std::vector<std::function<void(World&, bool calm)>> looks_;
};

// A few lines for people, of 80 columns at most.
std::string run_text(const RunReport& report);
// One of them: a name, and text that goes on below itself.
std::string report_row(const std::string& label, const std::string& text);

}  // namespace agora::sim
