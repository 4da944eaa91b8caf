#include "agora/sim/timeline.h"

#include <gtest/gtest.h>

namespace agora::sim {
namespace {

TEST(Timeline, RecoveryIsSinceAFaultNotSinceAMend) {
  Timeline timeline;
  timeline.on_fault(10 * kSecondNs, "peer 1: its process is killed");
  AnswerFact fact;
  fact.asked_ns = 11 * kSecondNs;
  fact.at_ns = 12 * kSecondNs;
  timeline.on_answer(fact);
  timeline.on_mended(15 * kSecondNs, "peer 1: starts again");
  EXPECT_EQ(timeline.recovery().answered_ns, 2 * kSecondNs);
  EXPECT_EQ(timeline.marks_in_all(), 2u);
}

// The nemesis tells them apart.
TEST(Timeline, AStartIsNoFault) {
  struct Told final : History {
    void on_fault(int64_t, std::string_view what) override {
      starts += what.ends_with("starts again") ? 1 : 0;
    }
    void on_mended(int64_t, std::string_view what) override {
      mends += what.ends_with("starts again") ? 1 : 0;
    }
    int starts = 0, mends = 0;
  } told;
  Scenario scenario;
  scenario.gates = 0;
  scenario.faults = {.crash_every_s = 5, .restart_after_s = 5, .off = 0};
  sim::Run run(scenario, 1);
  run.histories().add(told);
  run.go();
  EXPECT_EQ(told.starts, 0);
  EXPECT_GT(told.mends, 3);
}

}  // namespace
}  // namespace agora::sim
