// A trainer's part in averaging trunks with whom it finds, while it goes on training.
//
//   Averaging averaging(loop, transport, directory, config);
//   averaging.start(first);                                            // the trunk that it begins with
//   if (averaging.step_done(rows, step, layout)) model.repack(compute);         // after every step
//   averaging.finish(step, layout);   ...   averaging.rest();                    // after the last one
//
// Every H steps, or when another trainer is ready, its change since the last round goes into a round
// (round.h). The trainer does not wait for it: when the round is over, what it has learned meanwhile is put
// on top of the new trunk, trunk' + (now - then), so that a member that dies in the middle costs the others
// no time and a trainer that was left out or comes back loses nothing that it learned. (DiLoCo waits;
// overlapping its communication is Kale et al. 2025, arXiv 2502.12996.) Bytes for P members and N numbers: 4
// N (P - 1) out and as many in. The loop does the rest: messages, fetching, the outer step. step_done(),
// take_latest(), finish() and since_round() by one thread, the others any.
#pragma once

#include <memory>

#include "agora/base/loop.h"
#include "agora/peers/directory/directory.h"
#include "agora/peers/transport/transport.h"
#include "agora/swarm/averaging/outer_step.h"
#include "agora/swarm/averaging/round.h"
#include "agora/swarm/trunk.h"

namespace agora::swarm {

struct AveragingConfig {
  int64_t steps_every = 20;  // H
  OuterSettings outer;
  RoundConfig round;
  weights::Digest layout{};  // of the trunk
  size_t learned = 0;        // numbers that take the outer step: the first ones
};

struct AveragingCounters {
  TrunkVersion version;
  uint64_t rounds = 0;         // that this trainer took part in
  uint64_t rounds_missed = 0;  // that went on without what it had learned; that counts in the next one
  uint64_t caught_up = 0;      // trunks pulled
  uint64_t refused = 0;        // messages, deltas and trunks that could not be used
  uint32_t members = 0;        // of the last round
};

// Where a trainer is between two rounds.
struct SinceRound {
  std::shared_ptr<const TrunkSnapshot> base;  // what its trunk grew from
  uint64_t rows = 0;                          // that it has learned from since, and in so many steps
  uint64_t steps = 0;
};

class Averaging {
 public:
  // Serves kAverage and kGetTrunk. All must outlive it.
  Averaging(base::Loop& loop, peers::Transport& transport, peers::Directory& directory,
            const AveragingConfig& config);
  ~Averaging();

  // Before the first step_done(). momentum may be empty: zero.
  void start(TrunkSnapshot first);
  // Goes on where an earlier process of this trainer was: the trunk has learned from `rows` rows on top of
  // the base. If that went into a round before the process ended, as a fresher trunk shows, it counts once.
  void start(TrunkSnapshot base, uint64_t rows, uint64_t steps, const TrunkLayout& trunk);

  // The trunk has learned from `rows` more rows. It is changed, and true, when a round has ended meanwhile;
  // it is only looked at then, and when a round begins.
  bool step_done(uint64_t rows, uint64_t step, TrunkLayout& trunk);

  // The same without a step: for the day on which there is none.
  bool take_latest(TrunkLayout& trunk);
  // That day has come: what it has learned since the last round goes into the next one, however few steps
  // that is. To be called until since_round() says that nothing is left.
  bool finish(uint64_t step, TrunkLayout& trunk);
  // No round waits for this trainer any more, which follows them. Until step_done().
  void rest();
  SinceRound since_round() const;  // its base is null before start()

  AveragingCounters counters() const;
  std::shared_ptr<const TrunkSnapshot> latest() const;  // that it hands out; null: before start()

 private:
  class State;
  std::shared_ptr<State> state_;  // shared with calls under way
};

}  // namespace agora::swarm
