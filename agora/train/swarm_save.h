// Writes a whole swarm as one folder: the trunk from here, every expert from the peer that leads it.
//
//   AGORA_RETURN_IF_ERROR(save_swarm({...}, "runs/swarm"));
//
// One expert is in memory at a time. 12 bytes of every expert's weight come over the wire, one expert after
// the other. See swarm/swarm_folder.h for what is written, saved_trunk.h for how experts are numbered where
// the swarm has grown. Waits; not on the loop.
#pragma once

#include <functional>
#include <string>

#include "agora/base/loop.h"
#include "agora/model/model.h"
#include "agora/peers/directory/directory.h"
#include "agora/peers/transport/transport.h"
#include "agora/swarm/finder/finder.h"
#include "agora/swarm/swarm_folder.h"
#include "agora/train/task.h"
#include "agora/train/train_state.h"

namespace agora::train {

struct SwarmToSave {
  base::Loop& loop;
  peers::Transport& transport;
  const peers::Directory& directory;
  const swarm::Finder& finder;
  const swarm::SwarmSpec& spec;
  model::Model& trunk;
  SharedTokenizer tokenizer;  // null: a model of images
  const TrainState& state;
  swarm::TrunkVersion version;
};

// Only over a swarm that was saved there, or where nothing is. Unavailable: an expert that nobody could give,
// named with the last reason; or what the disk said. The folder's earlier content is then untouched.
Status save_swarm(const SwarmToSave& swarm, const std::string& dir);

// Serves kGetCursor: `cursor` is called on a thread of the transport.
void serve_cursor(peers::Transport& transport, std::function<Rng::State()> cursor);

}  // namespace agora::train
