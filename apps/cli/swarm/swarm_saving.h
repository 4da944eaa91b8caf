// Saves a whole running swarm as one folder, from outside: the newest trunk of its trainers, every expert.
//
//   AGORA_ASSIGN_OR_RETURN(const swarm::TrunkVersion saved, save_whole_swarm(node, "runs/words/saved"));
//   if (newest_trunk(node) > saved) ...       // somebody has trained on
//
// The folder is a model that `agora ask`, `explain`, `eval` and other tools open, and a swarm can go on
// from it (agora up --resume). The moments of a trunk's inner optimizer stay with its trainer, on its own
// disk (train/trainer_file.h); zeros stand for them in the folder. Waits; not on the loop.
#pragma once

#include "agora/swarm/trunk.h"

#include "apps/cli/swarm/node.h"

namespace agora::cli {

// The trunk that was saved.
StatusOr<swarm::TrunkVersion> save_whole_swarm(Node& node, const std::string& dir);

// Of the trunks that peers say they have, which say rows and round only; round 0: nobody has one, or none has
// been averaged yet.
swarm::TrunkVersion newest_trunk(Node& node);

// How many experts hosts say are retired.
size_t retired_experts(Node& node);

}  // namespace agora::cli
