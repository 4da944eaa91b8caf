// The processes of a swarm on one machine: started, listened to, and ended; nothing is started again in
// silence.
//
//   Supervisor supervisor({.program = own_program(), .respawn = false}, clock);
//   supervisor.start({.name = "host 1", .arguments = {"host", ...}, .error_file = ".../host-1.err"});
//   for (const ChildEvent& event : supervisor.wait(200 * kMillisecondNs)) ...  // what they said, who ended
//   supervisor.end({0, 1}, 15 * kSecondNs, on_event);                              // asks, waits, then kills
//
// What a process says is one JSON object a line. One thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "agora/base/clock.h"
#include <nlohmann/json.hpp>

#include "apps/cli/child_process.h"

namespace agora::cli {

struct ChildPlan {
  std::string name;  // "host 1"
  std::vector<std::string> arguments;
  std::string error_file;
};

struct ChildEvent {
  enum class Kind : uint8_t { said, ended, respawned };
  Kind kind = Kind::said;
  size_t child = 0;     // its place among those that were started
  nlohmann::json line;  // said
  std::string how;      // ended: "killed by signal 9"
};

struct SupervisorSettings {
  std::string program;
  bool respawn = false;  // start again what ended by itself and not well
};

class Supervisor {
 public:
  // A process that ends again and again is started again ever more slowly; one that lived for longer than the
  // longest wait begins anew with the first.
  static constexpr int64_t kRespawnFirstNs = 1'000'000'000;
  static constexpr int64_t kRespawnLongestNs = 30'000'000'000;

  Supervisor(SupervisorSettings settings, const Clock& clock)
      : settings_(std::move(settings)), clock_(clock) {}

  Status start(ChildPlan plan);
  std::vector<ChildEvent> wait(int64_t timeout_ns);

  size_t size() const { return children_.size(); }
  const ChildPlan& plan(size_t child) const { return children_[child].plan; }
  bool running(size_t child) const { return !children_[child].ended; }
  bool comes_again(size_t child) const { return children_[child].respawn_at_ns != 0 && !ending_; }
  pid_t pid(size_t child) const { return children_[child].process.pid(); }
  void signal(size_t child, int number) { children_[child].process.signal(number); }

  // Asks these by SIGINT and waits; who has not ended then is killed. What all say meanwhile is given. From
  // now on nothing is started again. True: those that were running ended well.
  bool end(const std::vector<size_t>& which, int64_t timeout_ns,
           const std::function<void(const ChildEvent&)>& on_event);

 private:
  struct Child {
    ChildPlan plan;
    ChildProcess process;
    bool ended = false;
    int64_t started_ns = 0;
    int64_t respawn_at_ns = 0;  // 0: not planned
    int64_t respawn_wait_ns = kRespawnFirstNs;
  };
  StatusOr<ChildProcess> spawn(const ChildPlan& plan) const;
  void listen(size_t child, std::vector<ChildEvent>& events);
  void look_after(size_t child, std::vector<ChildEvent>& events);

  SupervisorSettings settings_;
  const Clock& clock_;
  std::vector<Child> children_;
  bool ending_ = false;
};

}  // namespace agora::cli
