// A swarm of real processes for tests: `agora up` on a small model and a text of the test's own.
//
//   SwarmUnderTest swarm({.hosts = 3});   swarm.wait_until_training();
//   swarm.kill("host 2", SIGKILL);        const double seconds = swarm.wait_until([&] { return ...; });
//   Outcome o = swarm.end();              // Ctrl-C
//
// Every wait has a generous limit and looks again; nothing sleeps for a fixed time. A test prints what it
// measured by measured(). One thread.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/e2e/process.h"

namespace agora::e2e {

struct SwarmSetup {
  int hosts = 3;
  int trainers = 1;
  int servers = 1;
  int64_t steps = 1'000'000;           // more than any test waits for
  std::vector<std::string> more = {};  // flags of agora up
};

class SwarmUnderTest {
 public:
  static constexpr double kSecondsMax = 90;  // of any wait

  explicit SwarmUnderTest(const SwarmSetup& setup);
  ~SwarmUnderTest();

  std::string dir() const { return scratch_.path("run"); }
  std::string data() const { return scratch_.path("data"); }
  // The last line of `agora up` with these, looked for from the beginning; by process and event.
  std::optional<nlohmann::json> last(const std::string& event, const std::string& process = "") const;
  int64_t step_of(const std::string& trainer) const;
  int64_t pid_of(const std::string& process) const;
  std::string process_of(const std::string& peer) const;  // its id; empty: none of ours
  std::string at(const std::string& process) const;       // HOST:PORT; "up" too
  std::string http(const std::string& process) const;     // likewise
  std::vector<std::string> running() const;               // names, as the last line about the swarm says

  // Until it is so; the seconds it took. A failure of the test when it never is, or `agora up` ends.
  double wait_until(const std::string& what, const std::function<bool()>& is_so);
  void wait_until_up();        // every process has said where it listens
  void wait_until_training();  // a trainer has made a few steps
  // From now, until the trainer has made so many further steps: the time to recover.
  double wait_for_steps(const std::string& trainer, int64_t steps);

  void signal(const std::string& process, int number);
  // agora COMMAND ... --run DIR --json, its answer.
  Outcome run(std::vector<std::string> arguments) const;
  nlohmann::json ask_json(std::vector<std::string> arguments) const;
  Outcome ask(const std::string& text, const std::vector<std::string>& more = {}) const;

  Outcome end();  // Ctrl-C, and what was printed

 private:
  std::vector<nlohmann::json> lines() const;
  std::string told() const;  // what `agora up` said and every process wrote down, for a failure

  base::TestFolder scratch_;
  Process process_;
  int64_t processes_;  // besides agora up
  bool ended_ = false;
};

// For the notes of a run: [ MEASURED ] what: 1.23 s
void measured(const std::string& what, double seconds);

}  // namespace agora::e2e
