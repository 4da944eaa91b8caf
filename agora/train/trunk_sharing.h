// A trainer's trunk among others: averaged with theirs; in a synchronous swarm, which has one trainer, handed
// out as it is.
//
//   TrunkSharing sharing(loop, transport, directory, options, synchronous, layout);
//   sharing.begin_with(snapshot);                                            // once, before the first step
//   if (sharing.step_done(rows, step, /*last=*/false)) model.repack(compute);
//   sharing.settle(step, sharing.settle_ns_max(), until_stopped);   model.repack(compute);  // after the last
//   if (sharing.take_latest()) model.repack(compute);   keep(sharing.since_round());   // before it ends
//
// Either way servers and whoever comes late pull it, every options.average_every steps anew. The layout is
// borrowed. One thread, but for counters().
#pragma once

#include <functional>
#include <memory>

#include "agora/base/until_stopped.h"
#include "agora/swarm/averaging/averaging.h"
#include "agora/swarm/trunk_exchange.h"
#include "agora/train/options.h"

namespace agora::train {

class TrunkSharing {
 public:
  // Serves kGetTrunk, and kAverage unless synchronous: before the transport's first request.
  TrunkSharing(base::Loop& loop, peers::Transport& transport, peers::Directory& directory,
               const TrainOptions& options, bool synchronous, swarm::TrunkLayout& layout);

  // rows, steps: what the layout's trunk has learned on top of it already.
  void begin_with(swarm::TrunkSnapshot first, uint64_t rows = 0, uint64_t steps = 0);
  // The trunk has learned from `rows` more rows; last: it will learn no more. True: it was changed.
  bool step_done(uint64_t rows, uint64_t step, bool last);

  // What the others have made since the last step_done(). True: the trunk was changed.
  bool take_latest();
  // After the last step: waits until all that was learned is in a trunk that is handed out; the trunk that
  // learned may change. When it has ended, well or not, the others do not wait for this trainer any more.
  // DeadlineExceeded: some is not, it is in since_round(); Cancelled: stopped, likewise.
  Status settle(uint64_t step, int64_t timeout_ns, base::UntilStopped& until_stopped);
  // Before it goes: waits until another trainer, or a server, hands out that trunk or a fresher one; not
  // where there is none. DeadlineExceeded, Cancelled.
  Status hand_on(int64_t timeout_ns, base::UntilStopped& until_stopped);
  // How long the two may take where lines are slow and others are in the middle of something: the longer the
  // trunk.
  int64_t settle_ns_max() const;
  int64_t hand_on_ns_max() const;
  // Its base is null before begin_with().
  swarm::SinceRound since_round() const;

  // In a synchronous swarm only the version moves.
  swarm::AveragingCounters counters() const;

 private:
  void hand_out(uint64_t step);
  bool others_have(const swarm::TrunkVersion& trunk) const;
  Status wait_until(int64_t timeout_ns, base::UntilStopped& until_stopped,
                    const std::function<bool()>& is_so) const;

  base::Loop& loop_;
  const peers::Directory& directory_;
  const peers::PeerId self_;
  const uint64_t steps_every_;
  swarm::TrunkLayout& layout_;
  swarm::TrunkShelf shelf_;                      // in synchronous swarms
  uint64_t rows_ = 0;                            // there: learned from since it was handed out
  std::unique_ptr<swarm::Averaging> averaging_;  // in others
};

}  // namespace agora::train
