// A trainer's trunk among others: averaged with theirs; in a synchronous swarm, which has one trainer, handed
// out as it is.
//
//   TrunkSharing sharing(loop, transport, directory, options, synchronous, layout);
//   sharing.begin_with(snapshot);                                            // once, before the first step
//   if (sharing.step_done(rows, step, /*last=*/false)) model.repack(compute);
//   AGORA_RETURN_IF_ERROR(sharing.keep("agora-state/trunk"));                // swarm/trunk_file.h
//
// Either way servers and whoever comes late pull it, every options.average_every steps anew. The layout is
// borrowed. One thread, but for counters() and keep().
#pragma once

#include <memory>
#include <string>

#include "agora/swarm/averaging/averaging.h"
#include "agora/swarm/trunk_exchange.h"
#include "agora/train/options.h"

namespace agora::train {

class TrunkSharing {
 public:
  // Serves kGetTrunk, and kAverage unless synchronous: before the transport's first request.
  TrunkSharing(base::Loop& loop, peers::Transport& transport, peers::Directory& directory,
               const TrainOptions& options, bool synchronous, swarm::TrunkLayout& layout);

  void begin_with(swarm::TrunkSnapshot first);
  // The trunk has learned from `rows` more rows; last: it will learn no more. True: it was changed.
  bool step_done(uint64_t rows, uint64_t step, bool last);

  // In a synchronous swarm only the version moves.
  swarm::AveragingCounters counters() const;
  // What it hands out. FailedPrecondition: before begin_with().
  Status keep(const std::string& file) const;

 private:
  void hand_out(uint64_t step);

  const peers::PeerId self_;
  const uint64_t steps_every_;
  swarm::TrunkLayout& layout_;
  swarm::TrunkShelf shelf_;                      // in synchronous swarms
  std::unique_ptr<swarm::Averaging> averaging_;  // in others
};

}  // namespace agora::train
