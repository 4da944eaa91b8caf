// What is behind Averaging: the trainer's side in averaging.cc, the loop's side in averaging_loop.cc.
//
// Two threads: step_done() runs on the trainer's, what is posted on the loop's. They meet under the mutex.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "agora/base/mutex.h"
#include "agora/swarm/averaging/averaging.h"
#include "agora/swarm/trunk_exchange.h"

namespace agora::swarm {

// Where the trainer's thread and the loop meet is under the mutex; all else is the loop's.
class Averaging::State : public std::enable_shared_from_this<Averaging::State> {
 public:
  State(base::Loop& loop, peers::Transport& transport, peers::Directory& directory,
        const AveragingConfig& config)
      : loop_(loop), transport_(transport), directory_(directory), config_(config), shelf_(loop) {}

  void serve();
  void stop();
  void start(TrunkSnapshot first);
  void start(TrunkSnapshot base, uint64_t rows, uint64_t steps, const TrunkLayout& trunk);
  bool step_done(uint64_t rows, uint64_t step, TrunkLayout& trunk);
  bool take_latest(TrunkLayout& trunk);
  bool finish(uint64_t step, TrunkLayout& trunk);
  void rest();
  SinceRound since_round() const;

  AveragingCounters counters() const;
  std::shared_ptr<const TrunkSnapshot> latest() const { return shelf_.latest(); }

 private:
  // What the trainer learned since the last round that counted it, as it went into a round.
  struct Share {
    uint64_t number = 0;       // from 1 on, in each process of this trainer anew
    uint64_t round = 0;        // that it grew from
    std::vector<float> trunk;  // as it was when the share was made
    uint64_t rows = 0;
    uint64_t steps = 0;
  };
  struct CatchUp {
    peers::PeerId from;
    TrunkVersion instead_of;
    int64_t begun_ns = 0;
  };
  // Whether a trainer's fresher trunk can be had: not now, or it hands out none that is what it says.
  enum class Reach : uint8_t { here, away, not_believed };
  struct OutOfReach {
    int64_t until_ns = 0;
    int64_t pause_ns = 0;
    Reach reach = Reach::away;
  };
  // One for whom a round was kept open in vain.
  struct Late {
    uint32_t rounds = 0;  // that do not wait for it then
    uint32_t left = 0;    // of them
  };
  static constexpr uint32_t kRoundsWithoutMax = 63;
  // A round that was given up here may still be ended by others, while the next one is under way.
  static constexpr size_t kSharesMax = 2;

  // The trainer's part.
  void share(uint64_t step, uint64_t steps_min, const TrunkLayout& trunk);

  // The loop's part.
  void begin(std::shared_ptr<const TrunkSnapshot> base, peers::Payload delta, uint64_t share, uint64_t rows,
             uint64_t step);
  void on_call(peers::IncomingCall& call);
  void on_idle_news(const peers::PeerId& from, const News& news);
  void act();
  void set_timer();
  void tell(const peers::PeerId& peer, uint64_t number);
  void fetch(const weights::Digest& hash, const peers::PeerId& from);
  bool take_delta(const weights::Digest& hash, const peers::Payload& bytes);
  void finish(const Decision& decision);
  void catch_up(const peers::PeerId& from);
  void take_trunk(const CatchUp& asked, StatusOr<TrunkSnapshot> trunk);
  void out_of_reach(const CatchUp& asked, Reach reach);
  Reach reach_of(const peers::PeerId& from, const News& news) const;
  std::set<peers::PeerId> unawaited();
  uint64_t share_in(const TrunkSnapshot& trunk) const;
  void arrive(TrunkSnapshot trunk, uint64_t counted);
  void end_round();
  void refuse();
  News news() const;
  TrunkVersion version() const;
  bool stopped() const;
  bool rests() const;
  std::vector<peers::PeerId> trainers() const;
  std::optional<peers::Endpoint> trainer_at(const peers::PeerId& peer) const;  // null: it is none

  base::Loop& loop_;
  peers::Transport& transport_;
  peers::Directory& directory_;
  const AveragingConfig config_;
  TrunkShelf shelf_;

  mutable base::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<const TrunkSnapshot> anchor_ ABSL_GUARDED_BY(mutex_);  // what the trainer's trunk grew from
  std::shared_ptr<const TrunkSnapshot> latest_ ABSL_GUARDED_BY(mutex_);  // fresher: waits for step_done()
  uint64_t counted_ ABSL_GUARDED_BY(mutex_) = 0;  // latest_ has the share of this number in it; 0: none
  bool in_round_ ABSL_GUARDED_BY(mutex_) = false;
  bool wanted_ ABSL_GUARDED_BY(mutex_) = false;  // another trainer is ready
  bool resting_ ABSL_GUARDED_BY(mutex_) = false;
  AveragingCounters counters_ ABSL_GUARDED_BY(mutex_);

  // The trainer's thread's.
  std::vector<Share> shares_;  // not known to count, the last kSharesMax
  uint64_t last_share_ = 0;
  uint64_t rows_ = 0;
  uint64_t steps_ = 0;
  uint64_t learns_since_ = 0;  // the round after which rows_ begins

  // The loop's.
  std::unique_ptr<Round> round_;
  std::shared_ptr<const TrunkSnapshot> base_;  // of the round
  uint64_t step_ = 0;
  std::map<weights::Digest, peers::Payload> deltas_;  // of the round
  // What others know the shares by, the last kSharesMax; hash 0: an earlier process knew it.
  std::map<uint64_t, LastContribution> own_;
  std::optional<Decision> last_;
  TrunkVersion last_base_;
  bool catching_up_ = false;
  std::map<peers::PeerId, OutOfReach> out_;  // of those in the directory
  std::map<peers::PeerId, Late> late_;       // of them too
  base::TimerId timer_;
};

}  // namespace agora::swarm
