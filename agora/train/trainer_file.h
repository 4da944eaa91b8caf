// A trainer on its own disk: what its own part needs to go on as if it had not ended.
//
//   AGORA_RETURN_IF_ERROR(write_trainer_file("agora-state/trainer", kept));   // the old one or the new one
//   StatusOr<KeptTrainer> kept = read_trainer_file("agora-state/trainer");    // NotFound: there is none
//
// 20 bytes for each number of the trunk, and a SHA-256 of it all. Any thread; may wait for the disk.
#pragma once

#include <string>
#include <vector>

#include "agora/swarm/trunk.h"
#include "agora/train/train_state.h"

namespace agora::train {

struct KeptTrainer {
  TrainState state;
  swarm::TrunkSnapshot base;  // what its trunk grew from: that of the last round
  uint64_t rows = 0;          // that it has learned from since, and in so many steps
  uint64_t steps = 0;
  std::vector<float> values;         // the trunk itself: TrunkLayout::values()
  std::vector<float> first, second;  // both moments of what is learned of it: the first numbers
};

Status write_trainer_file(const std::string& path, const KeptTrainer& kept);
// DataLoss: torn or altered; FailedPrecondition: written by another version of this program.
StatusOr<KeptTrainer> read_trainer_file(const std::string& path);

}  // namespace agora::train
