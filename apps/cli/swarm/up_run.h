// A whole swarm on this machine, from its specification to its last word: what `agora up` does.
//
//   UpRun run(flags, interrupt);   return run.run();
//
// Processes that end are not started again unless --respawn says so; the swarm goes on. Main's thread.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "apps/cli/machine.h"
#include "apps/cli/swarm/node.h"
#include "apps/cli/swarm/supervisor.h"
#include "apps/cli/swarm/terminal_screen.h"
#include "apps/cli/swarm/up_outcome.h"
#include "apps/cli/swarm/up_plan.h"
#include "apps/cli/swarm/up_watch.h"

namespace agora::cli {

class UpRun {
 public:
  UpRun(UpFlags flags, const Interrupt& interrupt) : flags_(std::move(flags)), interrupt_(interrupt) {}
  Status run();

 private:
  Status prepare();            // data, specification, folder
  Status check_flags() const;  // what can be seen to be wrong before anything is read or made
  Status make_swarm_spec();
  Status resume_spec();
  Status resume_what_was_not_said();
  Status start_all();         // this process as a peer, then the others
  void watch();               // until Ctrl-C, or the end of --once
  bool end_of_training();     // saved and summarised, or given up
  bool last_trunk_is_told();  // the records say who has what the trainers had after their last steps
  void handle(const ChildEvent& event);
  void say(const std::string& line);  // for people, now
  void show();
  Status save_and_summarise();
  Status summarise(double seconds);
  void say_what_next(double seconds) const;
  Status end_all();
  void print_own_data() const;    // what the trainers learn from
  Status remember_place() const;  // swarm.json

  UpFlags flags_;
  const Interrupt& interrupt_;
  RealClock clock_;
  Machine machine_{0};
  std::unique_ptr<train::Task> task_;
  std::string dir_;
  SwarmPlace place_;  // without the processes that run
  std::unique_ptr<Node> node_;
  std::optional<Supervisor> supervisor_;
  std::optional<UpWatch> watch_;
  std::optional<TerminalScreen> screen_;
  UpOutcome outcome_;
  int64_t save_again_ns_ = 0;
  int64_t trained_ns_ = 0;  // since when all had trained
  int64_t shown_ns_ = 0;
  int64_t asked_ns_ = 0;
};

}  // namespace agora::cli
