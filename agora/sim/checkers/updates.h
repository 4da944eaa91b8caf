// Updates are applied once, kept, and come from somewhere.
//
//   UpdatesAppliedOnce once(lines, verdict);   LossWindowKept kept(lines, loss_window_ns, verdict);
//
// Tell them of a fact before Lines. One thread.
#pragma once

#include <map>

#include "agora/sim/checkers/checker.h"
#include "agora/sim/checkers/lines.h"

namespace agora::sim {

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
// died, and everything if it lives or left: then it was asked to.
class LossWindowKept final : public Checker {
 public:
  LossWindowKept(const Lines& lines, int64_t loss_window_ns, Verdict& verdict)
      : Checker("loss window kept", verdict), lines_(lines), loss_window_ns_(loss_window_ns) {}

  void on_life(const LifeFact& fact) override;
  void on_role(const RoleFact& fact) override;

 private:
  // Two that claim at one time do not see each other's claim before that.
  static constexpr int64_t kSeenNs = 5 * kSecondNs;

  enum class End : uint8_t { leads, left, crashed, dropped };
  struct Leader {
    PeerNumber peer = 0;
    uint32_t epoch = 0;
    int64_t since_ns = 0;
    End end = End::leads;
    int64_t end_ns = 0;
    Line line{{}};  // at its end
  };
  void judge(const RoleFact& fact, const Leader& before);

  const Lines& lines_;
  const int64_t loss_window_ns_;
  std::map<swarm::ExpertName, Leader> leaders_;  // of the greatest epoch
  std::map<swarm::ExpertName, Leader> rivals_;   // who claimed the same epoch
};

// An expert is never begun anew, or overwritten by one that was, while a trained replica of it lives in
// reach.
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
