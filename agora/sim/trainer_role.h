// A simulated trainer: production's SwarmTrainer on a tiny model, with whom it finds averaging its trunk.
//
//   World world({.spec = trained_spec(options, chain, 2)}, history);
//   world.add_trainer({.options = tiny_options(layers, experts, chosen)}).start();
//
// It joins, trains, and thinks between steps. One thread, the world's.
#pragma once

#include <memory>

#include "agora/base/until_stopped.h"
#include "agora/sim/chain_task.h"
#include "agora/sim/peer.h"
#include "agora/train/swarm_trainer.h"

namespace agora::sim {

struct TrainerSettings {
  train::TrainOptions options = {};
  uint64_t chain = 7;
  int64_t think_ns = 200 * kMillisecondNs;  // between steps: what its own arithmetic takes
  int64_t patience_ns = 20 * kSecondNs;
};

// D = 8, one head, sequences of 8; steps cost a fraction of a millisecond of real time.
train::TrainOptions tiny_options(int64_t layers, int64_t experts, int64_t chosen);
// The swarm that trains such a model.
swarm::SwarmSpec trained_spec(const train::TrainOptions& options, uint64_t chain, int32_t replicas);

class TrainerRole final : public PeerRole {
 public:
  // settings may change under way: think_ns.
  TrainerRole(Process& process, const swarm::SwarmSpec& spec, const kernels::Compute& compute,
              const TrainerSettings& settings);
  ~TrainerRole() override;

  void describe(swarm::PeerState& state) const override { trainer_->describe(state); }
  void leave(std::function<void()> done) override;
  void stop_callers() override;
  TrainerRole* as_trainer() override { return this; }

  train::SwarmTrainer& trainer() { return *trainer_; }

 private:
  void train();
  bool think(int64_t ns);

  Process& process_;
  const TrainerSettings& settings_;
  ChainTask task_;
  std::unique_ptr<train::SwarmTrainer> trainer_;
  base::UntilStopped until_stopped_;
};

}  // namespace agora::sim
