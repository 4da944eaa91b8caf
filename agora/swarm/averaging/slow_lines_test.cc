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

// Alone it ends three rounds while the two others end one; but they learn from twice as many rows.
TEST_F(SlowLines, OfASplitTheTrunkOfMoreRowsStays) {
  for (size_t i = 0; i < 3; ++i) {
    add(i, i == 2 ? 100 * kMillisecondNs : 300 * kMillisecondNs);
    trainers_[i].adds = i == 2 ? 0 : 1;
    trainers_[i].rows = i == 2 ? 100 : 300;
  }
  loop_.run_for(20 * kSecondNs);
  trainers_[2].line->cut({peer_of(0), peer_of(1)});
  for (size_t i = 0; i < 2; ++i) trainers_[i].line->cut({peer_of(2)});
  loop_.run_for(60 * kSecondNs);
  EXPECT_GT(counters(2).version.round, 2 * counters(0).version.round);
  EXPECT_LT(counters(2).version, counters(0).version);
  const float learned_by_two = learned(0);
  for (size_t i = 0; i < 3; ++i) trainers_[i].line->cut({});
  loop_.run_for(20 * kSecondNs);
  EXPECT_EQ(counters(0).members, 3u);
  EXPECT_EQ(counters(0).caught_up + counters(1).caught_up, 0u);
  EXPECT_GE(learned(0), learned_by_two);
  EXPECT_EQ(counters(2).version, counters(0).version);
}

// Each pull takes it longer than the others' round, so it always came when the next one had begun.
TEST_F(SlowLines, WhoComesLateOverASlowLineGetsIn) {
  for (size_t i = 0; i < 2; ++i) add(i, 100 * kMillisecondNs);
  loop_.run_for(15 * kSecondNs);
  auto trunk = trunk_of(0);
  ASSERT_TRUE(trunk.ok());
  loop_.run_for(3 * kSecondNs);  // it was three seconds on its way
  add(2, 100 * kMillisecondNs, /*start=*/false);
  trainers_[2].line->take(1500 * kMillisecondNs);
  trainers_[2].layout->set_values(trunk->values);
  trainers_[2].averaging->start(*std::move(trunk));
  train(2);
  loop_.run_for(30 * kSecondNs);
  EXPECT_GE(counters(2).rounds, 5u);
  EXPECT_EQ(counters(2).members, 3u);
  EXPECT_LT(trainers_[2].averaging->since_round().steps, 100u);
}

// For minutes it could give nothing; then it weighs no more than if it had given all the time: a third.
TEST_F(SlowLines, WhoWasAwayForLongOutweighsNobody) {
  for (size_t i = 0; i < 3; ++i) {
    add(i, 100 * kMillisecondNs);
    trainers_[i].adds = i == 2 ? 1 : 0;
  }
  trainers_[2].line->take(20 * kSecondNs);
  loop_.run_for(300 * kSecondNs);
  EXPECT_LT(learned(0), 20);
  trainers_[2].line->take(0);
  while (counters(0).members < 3 && loop_.now_ns() < 600 * kSecondNs) loop_.run_for(100 * kMillisecondNs);
  EXPECT_EQ(counters(0).members, 3u);
  EXPECT_LT(learned(0), 0.5f * learned(2));
}

// A chunk in ten seconds: what is long takes longer than a short one may.
TEST_F(SlowLines, ALongTrunkHasTheTimeThatItsBytesTake) {
  numbers_ = 3 * kBlobChunkBytes / sizeof(float);
  for (size_t i = 0; i < 2; ++i) add(i, kSecondNs);
  for (size_t i = 0; i < 2; ++i) trainers_[i].line->take(10 * kSecondNs);
  loop_.run_for(150 * kSecondNs);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_GE(counters(i).rounds, 2u);
    EXPECT_EQ(counters(i).members, 2u);
    EXPECT_EQ(counters(i).rounds_missed, 0u);
  }
}

// A pull is of twice a delta's bytes: who had the time of a delta for it came too late to each round.
TEST_F(SlowLines, WhoPullsALongTrunkHasTheTimeThatItsBytesTake) {
  numbers_ = 3 * kBlobChunkBytes / sizeof(float);
  for (size_t i = 0; i < 2; ++i) add(i, kSecondNs);
  loop_.run_for(30 * kSecondNs);
  add(2, kSecondNs);
  trainers_[2].line->take(10 * kSecondNs);
  loop_.run_for(110 * kSecondNs);
  EXPECT_EQ(counters(0).members, 3u);
  EXPECT_EQ(counters(2).caught_up, 1u);
}

}  // namespace
}  // namespace agora::swarm
