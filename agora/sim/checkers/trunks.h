// What must hold of trainers, which average their trunks while hosts and trainers die.
//
//   histories.add(trunks_agree);   run.each_sample([&](World& world, bool) { trunks_agree.look(world); });
//
// One thread.
#pragma once

#include <map>

#include "agora/sim/checkers/checker.h"

namespace agora::sim {

// A trainer's trunk never goes back by rows while it lives; in calm its steps end soon and are whole, and
// trainers are in the same round, or one has not taken yet what the others have.
class TrunksAgree final : public Checker {
 public:
  TrunksAgree(int64_t trainers, int64_t think_ns, Verdict& verdict)
      : Checker("trunks agree", verdict), trainers_(trainers), step_ns_max_(2 * think_ns + kStepNsMax) {}

  void look(World& world) override;
  void on_life(const LifeFact& fact) override { last_.erase(fact.peer); }
  void on_step(const StepFact& fact) override;

 private:
  static constexpr int64_t kStepNsMax = 5 * kSecondNs;  // of a step, round the world and over busy hosts

  struct Last {
    int64_t at_ns = 0;
    uint64_t round = 0;
    uint64_t rows = 0;
  };

  const int64_t trainers_;
  const int64_t step_ns_max_;  // with the pause before it
  std::map<PeerNumber, Last> last_;
};

}  // namespace agora::sim
