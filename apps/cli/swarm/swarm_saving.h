// Saves a whole running swarm as one folder, from outside: the newest trunk of its trainers, every expert.
//
//   AGORA_RETURN_IF_ERROR(save_whole_swarm(node, "runs/words/saved"));
//
// The folder is a model that `agora ask`, `explain`, `eval` and other tools open, and a swarm can go on
// from it (agora up --resume). The moments of a trunk's inner optimizer stay with its trainer, on its own
// disk (train/trainer_file.h); zeros stand for them in the folder. Waits; not on the loop.
#pragma once

#include "apps/cli/swarm/node.h"

namespace agora::cli {

Status save_whole_swarm(Node& node, const std::string& dir);

}  // namespace agora::cli
