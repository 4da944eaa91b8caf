// Trainers whose lines are slow, or cut for a while.
#include "agora/swarm/averaging/trainers_at_hand.h"
#include <gtest/gtest.h>

namespace agora::swarm {
namespace {

class SlowLines : public TrainersAtHand {
 protected:
  SlowLines() { outer_ = {.learning_rate = 1, .momentum = 0}; }

  float learned(size_t i) { return trainers_[i].layout->values()[0] - first_trunk().values[0]; }
};

// It steps thrice as fast as the two others, and hears what they say, but can pull nothing.
TEST_F(SlowLines, WhoCannotPullKeepsItsShareAndNumbersNothing) {
  for (size_t i = 0; i < 2; ++i) add(i, 300 * kMillisecondNs);
  add(2, 100 * kMillisecondNs);
  for (size_t i = 0; i < 2; ++i) trainers_[i].adds = 1;
  loop_.run_for(20 * kSecondNs);
  EXPECT_EQ(counters(2).members, 3u);
  const uint64_t round = counters(2).version.round;
  trainers_[2].line->take(20 * kSecondNs);
  float last = learned(0);
  for (int i = 0; i < 30; ++i) {
    loop_.run_for(10 * kSecondNs);
    EXPECT_GE(learned(0), last) << "what the two learned stays";
    last = learned(0);
  }
  EXPECT_LE(counters(2).version.round, round + 1);
  EXPECT_EQ(counters(0).caught_up, 0u);
  EXPECT_EQ(counters(0).version, counters(1).version);
  EXPECT_GT(counters(0).version.round, round + 60);
  trainers_[2].line->take(0);
  loop_.run_for(150 * kSecondNs);  // the longest pause and a little
  EXPECT_GE(counters(2).caught_up, 1u);
  EXPECT_EQ(counters(0).members, 3u);
  EXPECT_GE(learned(0), last);
}

}  // namespace
}  // namespace agora::swarm
