// A swarm whose experts come and go while it trains and answers, in one process: hosts that place their
// experts themselves, a trainer, a server, and somebody who asks it all the time.
//
//   GrowingSwarm swarm(options, {});   swarm.train(60);
//   Asker asker(swarm);   swarm.add({.from = AddExpert::From::most_loaded});   swarm.train(100);
//   EXPECT_EQ(asker.stop().failed, 0);
//
// Tests only. One thread; the peers have their own.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "agora/base/thread_loop.h"
#include "agora/peers/transport/loopback.h"
#include "agora/serve/swarm_server.h"
#include "agora/swarm/host/host.h"
#include "agora/swarm/host/host_messages.h"
#include "agora/swarm/swarm_folder.h"
#include "agora/train/swarm_trainer.h"

#include "tests/swarm/fixed_directory.h"

namespace agora::tests {

struct GrowingSetup {
  int hosts = 2;
  std::string folder = {};  // of a saved swarm to go on from
  swarm::GrowthConfig growth = {.tied_steps = 10, .ramp_steps = 30};
  int64_t retire_grace_ns = 2 * base::kSecondNs;
};

class GrowingSwarm {
 public:
  // Waits until every expert is led and the server has a trunk.
  GrowingSwarm(const train::TrainOptions& options, const GrowingSetup& setup);
  ~GrowingSwarm();

  train::SwarmTrainer& trainer() { return *trainer_; }
  const train::Task& task() const { return *task_; }
  const swarm::SwarmSpec& spec() const { return spec_; }
  train::SwarmStepReport train(int64_t steps);  // the last one's
  double validate() { return trainer_->validate(0)->total.loss(); }

  // Asks a host, as `agora expert` does.
  StatusOr<std::vector<swarm::ExpertName>> add(const swarm::AddExpert& request);
  Status retire(swarm::ExpertName expert);
  // In the trunk's gates.
  float entry_bias(swarm::ExpertName expert);
  // Rows of the layer's experts in the last step.
  std::vector<int64_t> loads(LayerId layer);
  // Overwrites an expert's weights wherever it is held.
  void poison(swarm::ExpertName expert);
  int64_t held(swarm::ExpertName expert);  // by how many hosts
  swarm::Census census() { return swarm::take_census(directory_.records(), spec_); }

  base::Loop& loop() { return loop_; }
  FixedDirectory& directory() { return directory_; }
  std::unique_ptr<peers::LoopbackTransport> make_transport();

 private:
  class GrowingHost;
  class GrowingServer;
  void say_trainer();
  peers::Reply ask_a_host(peers::Method method, const peers::Payload& request);

  swarm::SwarmSpec spec_;
  uint16_t peers_ = 0;
  base::ThreadLoop loop_{"test-loop"};
  std::shared_ptr<peers::LoopbackNetwork> network_ = std::make_shared<peers::LoopbackNetwork>(loop_);
  FixedDirectory directory_;
  std::unique_ptr<swarm::SwarmFolder> saved_;
  std::vector<std::unique_ptr<GrowingHost>> hosts_;
  base::ThreadPool pool_{1};
  std::unique_ptr<peers::LoopbackTransport> transport_;  // the trainer's
  std::unique_ptr<OwnView> view_;
  std::unique_ptr<train::Task> task_;
  std::unique_ptr<train::SwarmTrainer> trainer_;
  std::unique_ptr<GrowingServer> server_;
};

// Asks one short question after the other until stop().
class Asker {
 public:
  struct Tally {
    int64_t asked = 0, failed = 0;
    uint64_t lost = 0;  // choices that nobody served
    std::string why;    // of the last failure
  };
  explicit Asker(GrowingSwarm& swarm);
  ~Asker() { stop(); }
  Tally stop();
  int64_t asked() const { return asked_.load(); }

 private:
  void run();

  GrowingSwarm& swarm_;
  std::unique_ptr<peers::LoopbackTransport> transport_;
  std::atomic<bool> stopped_ = false;
  std::atomic<int64_t> asked_ = 0;
  Tally tally_;
  std::thread thread_;
};

}  // namespace agora::tests
