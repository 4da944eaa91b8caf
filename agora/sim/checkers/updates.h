// Updates are applied once, kept, and come from somewhere.
//
//   UpdatesAppliedOnce once(lines, verdict);   LossWindowKept kept(lines, loss_window_ns, false, verdict);
//
// Tell them of a fact before Lines. One thread.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "agora/sim/checkers/checker.h"
#include "agora/sim/checkers/lines.h"

namespace agora::sim {

// What a host says of itself may not have come to the others before that.
constexpr int64_t kSeenNs = 5 * kSecondNs;

// No line of weights has an update twice, whatever was sent again, by whichever way, to whichever leader;
// none is made of bytes that nobody wrote.
class UpdatesAppliedOnce final : public Checker {
 public:
  UpdatesAppliedOnce(const Lines& lines, Verdict& verdict)
      : Checker("updates applied once", verdict), lines_(lines) {}

  void on_update(const UpdateFact& fact) override;
  void on_role(const RoleFact& fact) override;

 private:
  const Lines& lines_;
};

// Where messages arrive in time: who leads after another has all that it took until loss_window before it
// died, and everything if it lives, or left the swarm or the expert: then it was asked to. Where one that
// lives may be taken for dead (doubted), it counts as that.
//
// What died is kept by those who followed: it is judged where at least one of them was a replica a window
// before the death and has been since. If all went within a record's life (nobody knows until then that the
// last follower is dead, so nobody takes its place), the weights come from a disk, as old as its last save.
// Where all had gone and the expert was begun anew, a disk that comes back after all has weights of a later
// epoch: they win, whatever the new ones took.
class LossWindowKept final : public Checker {
 public:
  LossWindowKept(const Lines& lines, int64_t loss_window_ns, bool doubted, Verdict& verdict)
      : Checker("loss window kept", verdict),
        lines_(lines),
        loss_window_ns_(loss_window_ns),
        doubted_(doubted) {}

  void on_life(const LifeFact& fact) override;
  void on_role(const RoleFact& fact) override;

 private:
  enum class End : uint8_t { leads, left, crashed };  // left: the swarm, or this expert only
  struct Leader {
    PeerNumber peer = 0;
    uint32_t epoch = 0;
    int64_t since_ns = 0;
    End end = End::leads;
    int64_t end_ns = 0;
    Line line = {};  // at its end
  };
  void end(swarm::ExpertName expert, Leader& leader, End how, int64_t at_ns) const;
  void succeed(const RoleFact& fact, const Leader& last);
  void judge(const RoleFact& fact, const Leader& before);
  bool followed_since(swarm::ExpertName expert, PeerNumber leader, int64_t since_ns) const;

  const Lines& lines_;
  const int64_t loss_window_ns_;
  const bool doubted_;
  std::map<swarm::ExpertName, Leader> leaders_;              // of the greatest epoch
  std::map<swarm::ExpertName, Leader> before_;               // who led before those
  std::map<swarm::ExpertName, std::vector<Leader>> rivals_;  // who claimed the same epoch, and lead still
  std::map<std::pair<swarm::ExpertName, PeerNumber>, uint32_t> restored_;  // the epoch of the weights
};

// An expert is never begun anew while a trained replica of it lives in reach, for long enough to be heard of.
class ExpertsSurvive final : public Checker {
 public:
  ExpertsSurvive(const World& world, const Lines& lines, Verdict& verdict)
      : Checker("experts survive", verdict), world_(world), lines_(lines) {}

  void on_role(const RoleFact& fact) override;

 private:
  const World& world_;
  const Lines& lines_;
};

}  // namespace agora::sim
