// The trunk that a trainer begins with where others have trained.
//
//   AGORA_ASSIGN_OR_RETURN(std::optional<swarm::TrunkSnapshot> others,
//                          trunk_of_others(peer, own_version, layout, until_stopped, until_ns));
//   if (others) ...                          // it is in the model already, which wants a repack()
//
// Waits; on the trainer's thread.
#pragma once

#include <optional>

#include "agora/base/until_stopped.h"
#include "agora/swarm/trunk.h"
#include "agora/train/swarm_trainer.h"

namespace agora::train {

// None: nobody has one that is fresher than `own`. Who says so and hands out another thing is not believed.
// Who cannot be reached may have died: then others are looked for until its record has expired, lest a
// trainer begin anew beside experts that have learned. Errors: of the last try, at until_ns; Cancelled:
// stopped.
StatusOr<std::optional<swarm::TrunkSnapshot>> trunk_of_others(const SwarmPeer& peer,
                                                              const swarm::TrunkVersion& own,
                                                              swarm::TrunkLayout& layout,
                                                              base::UntilStopped& until_stopped,
                                                              int64_t until_ns);

}  // namespace agora::train
