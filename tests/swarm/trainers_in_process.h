// A swarm that trains, in one process: hosts over loopback, and trainers on threads of their own.
//
//   TrainersInProcess swarm(options, {.hosts = 4, .trainers = 2});
//   swarm.run(steps);                                   // every trainer takes so many steps
//   swarm.validation_loss(0);
//
// Tests only. One thread; the peers have their own.
#pragma once

#include <memory>
#include <vector>

#include "agora/train/swarm_trainer.h"

#include "tests/swarm/hosts_in_process.h"

namespace agora::tests {

struct TrainersConfig {
  int64_t hosts = 4;
  size_t trainers = 2;
  swarm::UpdateMode updates = swarm::UpdateMode::asynchronous;
  std::function<void(swarm::SwarmSpec&)> change_spec = {};
  std::string own_file = {};            // of every trainer
  std::function<void()> on_batch = {};  // a trainer has drawn one
  int64_t in_flight_max = 8;
};

class TrainersInProcess {
 public:
  TrainersInProcess(const train::TrainOptions& options, const TrainersConfig& config);
  ~TrainersInProcess();

  train::SwarmTrainer& trainer(size_t i) { return *members_[i]->trainer; }
  size_t add_trainer();  // joins what runs; its number
  // All that were not stopped take `steps` steps, at the same time.
  void run(int64_t steps);
  void stop(size_t i);  // as if its process had ended; others are told as by a directory
  double validation_loss(size_t i);
  const train::SwarmStepReport& last(size_t i) const { return members_[i]->last; }
  HostsInProcess& hosts() { return *hosts_; }

 private:
  struct Member {
    base::ThreadPool pool{1};
    std::unique_ptr<train::Task> task;
    std::unique_ptr<peers::Transport> transport;
    std::unique_ptr<train::SwarmTrainer> trainer;  // null: stopped
    train::SwarmStepReport last;
  };
  void take_steps(Member& member, int64_t steps);
  void say(Member& member);

  train::TrainOptions options_;
  std::string own_file_;
  std::function<void()> on_batch_;
  int64_t in_flight_max_;
  swarm::SwarmSpec spec_;
  std::unique_ptr<HostsInProcess> hosts_;
  std::vector<std::unique_ptr<Member>> members_;
};

}  // namespace agora::tests
