#include "agora/swarm/averaging/averaging.h"

#include <limits>

#include "agora/swarm/averaging/trainers_at_hand.h"
#include <gtest/gtest.h>

namespace agora::swarm {
namespace {

using AveragingTest = TrainersAtHand;

peers::Payload delta_of(float number) {
  const std::vector<float> numbers(kNumbers, number);
  return peers::Payload::copy(std::as_bytes(std::span(numbers)));
}

TEST_F(AveragingTest, OneAloneKeepsWhatItLearned) {
  add(0, 100 * kMillisecondNs);
  loop_.run_until(5'050 * kMillisecondNs);
  EXPECT_GE(counters(0).rounds, 4u);
  const float steps = static_cast<float>(trainers_[0].step);
  const std::vector<float> values = trainers_[0].layout->values();
  for (size_t n = 0; n < kNumbers; ++n) {
    EXPECT_EQ(values[n], first_trunk().values[n] + steps);
  }
}

TEST_F(AveragingTest, AllHaveTheSameTrunk) {
  for (size_t i = 0; i < 3; ++i) add(i, (80 + 10 * static_cast<int64_t>(i)) * kMillisecondNs);
  loop_.run_for(4 * kSecondNs);
  for (size_t i = 0; i < 3; ++i) {
    trainers_[i].step_ns = 0;
    EXPECT_EQ(counters(i).members, 3u);
    EXPECT_EQ(counters(i).caught_up, 0u);
    EXPECT_EQ(counters(i).refused, 0u);
  }
  loop_.run_for(kSecondNs);
  const auto first = trunk_of(0);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_GE(first->version.round, 3u);
  for (size_t i = 1; i < 3; ++i) {
    const auto other = trunk_of(i);
    ASSERT_TRUE(other.ok());
    EXPECT_EQ(other->version, first->version);
    EXPECT_EQ(other->values, first->values);
    EXPECT_EQ(other->momentum, first->momentum);
    EXPECT_EQ(other->contributions, first->contributions);
  }
  EXPECT_EQ(first->momentum[kLearned], 0.0f);
  EXPECT_NE(first->momentum[0], 0.0f);
}

TEST_F(AveragingTest, OneThatDiesIsLeftOut) {
  for (size_t i = 0; i < 3; ++i) add(i, 90 * kMillisecondNs);
  loop_.run_for(2 * kSecondNs);
  kill(1);
  const uint64_t rounds = counters(0).version.round;
  loop_.run_for(4 * kSecondNs);
  EXPECT_GE(counters(0).version.round, rounds + 2);
  EXPECT_EQ(counters(0).members, 2u);
  EXPECT_EQ(counters(2).version, counters(0).version);
  const auto trunk = trunk_of(0);
  ASSERT_TRUE(trunk.ok());
  ASSERT_EQ(trunk->contributions.size(), 3u) << "what it gave is in there";
  EXPECT_EQ(trunk->contributions[2].owner, peer_of(1));
  EXPECT_LT(trunk->contributions[2].round, trunk->contributions[0].round);
}

// It stays after its last step, to hand out its trunk: each round had waited 8 s for it.
TEST_F(AveragingTest, OneThatRestsHoldsNobodyUpAndFollows) {
  for (size_t i = 0; i < 2; ++i) add(i, 90 * kMillisecondNs);
  loop_.run_for(2 * kSecondNs);
  trainers_[0].step_ns = 0;
  trainers_[0].averaging->rest();
  const uint64_t rounds = counters(1).version.round;
  loop_.run_for(5 * kSecondNs);
  EXPECT_GE(counters(1).version.round, rounds + 5);
  trainers_[1].step_ns = 0;
  trainers_[1].averaging->rest();
  loop_.run_for(kSecondNs);
  EXPECT_EQ(counters(0).version, counters(1).version);
}

TEST_F(AveragingTest, TheLastStepsAreInATrunkToo) {
  outer_ = {.learning_rate = 1, .momentum = 0};
  for (size_t i = 0; i < 2; ++i) add(i, 90 * kMillisecondNs);
  for (size_t i = 0; i < 2; ++i) {
    loop_.run_for(1'050 * kMillisecondNs);  // rounds are every 10 steps
    ASSERT_GT(trainers_[i].averaging->since_round().steps, 0u);
    finish(i);
  }
  loop_.run_for(kSecondNs);
  EXPECT_EQ(counters(0).version, counters(1).version);
  const auto trunk = trunk_of(0);
  ASSERT_TRUE(trunk.ok()) << trunk.status();
  EXPECT_EQ(trunk->step, trainers_[1].step);
  EXPECT_EQ(trainers_[1].layout->values(), trunk->values);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(trainers_[i].averaging->since_round().steps, 0u);
    EXPECT_EQ(trainers_[i].averaging->since_round().rows, 0u);
  }
}

// There has been no round yet, and of fewer steps than it takes there is none.
TEST_F(AveragingTest, AShortRunIsInATrunk) {
  add(0, 100 * kMillisecondNs);
  loop_.run_for(350 * kMillisecondNs);
  ASSERT_EQ(counters(0).version.round, 0u);
  finish(0);
  loop_.run_for(kSecondNs);
  EXPECT_EQ(counters(0).version.round, 1u);
  EXPECT_EQ(trunk_of(0)->values[0], first_trunk().values[0] + static_cast<float>(trainers_[0].step));
}

TEST_F(AveragingTest, OneThatComesLateGoesOnFromTheOthersTrunk) {
  for (size_t i = 0; i < 2; ++i) add(i, 90 * kMillisecondNs);
  loop_.run_for(5 * kSecondNs);
  add(2, 90 * kMillisecondNs, /*start=*/false);
  auto trunk = trunk_of(0);
  ASSERT_TRUE(trunk.ok());
  EXPECT_GE(trunk->version.round, 4u);
  trainers_[2].layout->set_values(trunk->values);
  trainers_[2].averaging->start(*std::move(trunk));
  train(2);
  loop_.run_for(3 * kSecondNs);
  EXPECT_EQ(counters(2).version, counters(0).version);
  EXPECT_EQ(counters(2).members, 3u);
}

TEST_F(AveragingTest, OneThatWasAwayCatchesUpAndLosesNothing) {
  for (size_t i = 0; i < 2; ++i) add(i, 90 * kMillisecondNs);
  loop_.run_for(kSecondNs);
  // It sees nobody and nobody sees it; both go on alone.
  const auto records = board_;
  board_.remove(peer_of(0));
  board_.remove(peer_of(1));
  trainers_[1].step_ns = 5 * kSecondNs;  // very slow
  loop_.run_for(5 * kSecondNs);
  board_ = records;
  const uint64_t before = counters(1).version.round;
  loop_.run_for(12 * kSecondNs);
  EXPECT_GE(counters(1).caught_up, 1u);
  EXPECT_GT(counters(1).version.round, before);
}

TEST_F(AveragingTest, WhoBeginsAnewHasNoShareInWhatItGaveBefore) {
  for (size_t i = 0; i < 2; ++i) add(i, 700 * kMillisecondNs);
  add(2, 30 * kSecondNs);  // in a long step: the round stays open
  loop_.run_for(7'500 * kMillisecondNs);
  kill(1);
  loop_.run_for(2 * kSecondNs);
  ASSERT_EQ(counters(0).version.round, 0u);
  add(1, 8 * kSecondNs);
  const auto since = [&] { return trainers_[1].averaging->since_round(); };
  while (since().base->version.round == 0 && loop_.now_ns() < 60 * kSecondNs) loop_.run_for(kMillisecondNs);
  ASSERT_EQ(since().base->version.round, 1u);
  EXPECT_EQ(since().base->contributions.size(), 2u);
  EXPECT_EQ(counters(1).rounds_missed, 1u);
  const float learned = 2.0f * static_cast<float>(trainers_[1].step);  // by the process that goes on
  EXPECT_EQ(trainers_[1].layout->values()[0], since().base->values[0] + learned);
}

// A round is given up for a fresher trunk that cannot be had; the others end it while the next one runs.
TEST_F(AveragingTest, AShareCountsThoughAnotherWasMadeSince) {
  ByHand& decider = add_by_hand(0);
  add_by_hand(2).news->version = {5, 1, peer_of(2)};
  add(1, 100 * kMillisecondNs);
  loop_.run_for(950 * kMillisecondNs);
  ASSERT_FALSE(decider.heard.empty());  // ten steps: the first share
  const auto share = decider.heard[0].ready;
  ASSERT_TRUE(share);
  while (decider.heard.back().ready == share) loop_.run_for(kMillisecondNs);  // the second one
  const peers::Payload own = delta_of(-2.0f * 10), other = delta_of(-1);
  ASSERT_EQ(weights::sha256(own.bytes()), share->hash);
  const Contribution others{peer_of(0), weights::sha256(other.bytes()), 100};
  decider.shelf.hold_delta(share->hash, own);
  decider.shelf.hold_delta(others.hash, other);
  decider.news->ready = others;
  decider.news->decided = Decision{peer_of(0), {others, *share}};
  loop_.run_for(500 * kMillisecondNs);
  const SinceRound since = trainers_[1].averaging->since_round();
  EXPECT_EQ(since.base->version, (TrunkVersion{1, 2, peer_of(0), 100 + share->rows}));
  EXPECT_EQ(since.steps, trainers_[1].step - 10);
  const float learned = 2.0f * static_cast<float>(since.steps);
  EXPECT_EQ(trainers_[1].layout->values()[0], since.base->values[0] + learned);
}

// Its share was counted, and another round ended without it, before it could pull the trunk.
TEST_F(AveragingTest, AShareCountsOnceThoughRoundsWentBySince) {
  ByHand& other = add_by_hand(0);
  add(1, 100 * kMillisecondNs);
  loop_.run_for(950 * kMillisecondNs);
  ASSERT_FALSE(other.heard.empty());
  const auto share = other.heard[0].ready;
  ASSERT_TRUE(share);
  TrunkSnapshot trunk = first_trunk();
  trunk.version = other.news->version = {2, 1, peer_of(0)};
  trunk.contributions = {{peer_of(0), {}, 1}, {peer_of(1), share->hash, 0}};
  trunk.momentum.assign(kNumbers, 0.0f);
  other.shelf.put(trunk);
  loop_.run_for(500 * kMillisecondNs);
  const SinceRound since = trainers_[1].averaging->since_round();
  EXPECT_EQ(since.base->version, trunk.version);
  EXPECT_EQ(since.steps, trainers_[1].step - 10);
  EXPECT_EQ(trainers_[1].layout->values()[0], trunk.values[0] + 2.0f * static_cast<float>(since.steps));
}

// A trainer whose earlier process had taken 8 steps on top of the trunk of round 5, and then pulls another's.
class Restarted : public TrainersAtHand {
 protected:
  void pull(const LastContribution& last) {
    ByHand& other = add_by_hand(0);
    add(1, 100 * kMillisecondNs, /*start=*/false);
    TrunkSnapshot base = first_trunk();
    base.version = {5, 1, peer_of(1), 500};
    std::vector<float> values = base.values;
    for (float& value : values) value += 8 * trainers_[1].adds;
    trainers_[1].layout->set_values(values);
    trainers_[1].averaging->start(base, 800, 8, *trainers_[1].layout);
    TrunkSnapshot trunk = base;
    for (float& value : trunk.values) value += 100;
    trunk.version = other.news->version = {8, 1, peer_of(0), 5000};
    trunk.contributions = {last};
    trunk.momentum.assign(kNumbers, 0.0f);
    other.shelf.put(trunk);
    train(1);
    loop_.run_for(950 * kMillisecondNs);
    EXPECT_EQ(since().base->version, trunk.version);
    const float learned = trainers_[1].layout->values()[0] - trunk.values[0];
    EXPECT_EQ(learned, trainers_[1].adds * static_cast<float>(since().steps));
    EXPECT_EQ(since().rows, 100 * since().steps);
  }
  SinceRound since() { return trainers_[1].averaging->since_round(); }
};

// What its disk knew was put on top of the trunk that had it in.
TEST_F(Restarted, WhatTheEarlierProcessGaveCountsOnce) {
  pull({peer_of(1), weights::sha256(base::as_bytes("its delta")), 5});
  EXPECT_EQ(since().steps, trainers_[1].step);
}

TEST_F(Restarted, WhatTheEarlierProcessDidNotGiveIsKept) {
  pull({peer_of(1), weights::sha256(base::as_bytes("an earlier delta")), 4});
  EXPECT_EQ(since().steps, trainers_[1].step + 8);
}

TEST_F(AveragingTest, WhoseTrunkCannotBeHadEndsNoRound) {
  for (size_t i = 0; i < 2; ++i) add(i, 90 * kMillisecondNs);
  ByHand& late = add_by_hand(2);
  late.news->version = {5, 1, peer_of(2), 1'000'000};
  peers::LoopbackTransport stranger(network_, peer_of(90), {"loop", 90});
  News claim;
  claim.version = {9, 1, peer_of(90), 1'000'000};
  for (int i = 0; i < 100; ++i) {
    const peers::CallSettings settings{.to = peer_of(0),
                                       .at = trainers_[0].transport->endpoint(),
                                       .method = kAverage,
                                       .deadline_ns = loop_.now_ns() + kSecondNs};
    stranger.call(settings, encode(claim), [](peers::Reply) {});
    loop_.run_for(100 * kMillisecondNs);
  }
  EXPECT_GE(counters(0).version.round, 5u);
  EXPECT_EQ(counters(0).version, counters(1).version);
  EXPECT_EQ(counters(0).members, 2u);
  EXPECT_EQ(counters(0).caught_up, 0u);
  TrunkSnapshot trunk = first_trunk();
  trunk.version = late.news->version = {50, 1, peer_of(2), 1'000'000};
  trunk.momentum.assign(kNumbers, 0.0f);
  late.shelf.put(trunk);
  loop_.run_for(20 * kSecondNs);
  EXPECT_EQ(counters(0).caught_up, 1u) << "it is believed again before long";
}

TEST(OuterStep, IsNesterovOverTheWeighedMean) {
  const std::vector<float> a{1, 1, 1}, b{4, 4, 4};
  std::vector<float> values{10, 10, 10}, momentum{1, 0, 0};
  outer_step({.learning_rate = 0.5f, .momentum = 0.5f}, {{a, 100}, {b, 200}}, 2, values, momentum);
  EXPECT_FLOAT_EQ(momentum[0], 3.5f);  // 0.5 * 1 + 3
  EXPECT_FLOAT_EQ(values[0], 10 - 0.5f * (3 + 0.5f * 3.5f));
  EXPECT_FLOAT_EQ(values[1], 10 - 0.5f * (3 + 0.5f * 3));
  EXPECT_FLOAT_EQ(values[2], 7);  // steered: the plain mean
}

TEST(OuterStep, OfOneTakesItsTrunk) {
  const std::vector<float> a{1, -2};
  std::vector<float> values{10, 10}, momentum{2, 0};
  outer_step({}, {{a, 0}}, 2, values, momentum);
  EXPECT_EQ(values, (std::vector<float>{9, 12}));
  EXPECT_FLOAT_EQ(momentum[0], 1.8f);
}

TEST(News, ComesBackAsItWas) {
  News news;
  news.version = {7, 2, peer_of(3), 70};
  news.coming = news.resting = true;
  news.ready = Contribution{peer_of(1), {}, 55};
  news.decided = Decision{peer_of(1), {{peer_of(1), {}, 5}, {peer_of(2), {}, 6}}};
  news.last = Decision{peer_of(1), {{peer_of(1), {}, 5}}};
  news.last_base = {6, 1, peer_of(0)};
  const peers::Payload bytes = encode(news);
  const auto found = read_news(bytes.bytes());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->version, news.version);
  EXPECT_EQ(found->ready, news.ready);
  EXPECT_EQ(found->decided, news.decided);
  EXPECT_EQ(found->last, news.last);
  EXPECT_EQ(found->last_base, news.last_base);
  EXPECT_EQ(found->coming, news.coming);
  EXPECT_EQ(found->resting, news.resting);
  for (size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(read_news(bytes.bytes().first(size)).ok());
}

TEST(Trunk, ComesBackAsItWasAndNeverHalf) {
  TrunkSnapshot trunk = first_trunk();
  trunk.version = {3, 1, peer_of(2), 4000};
  trunk.contributions = {{peer_of(4), weights::sha256(base::as_bytes("a delta")), 2}};
  trunk.momentum.assign(kNumbers, 0.5f);
  const peers::Payload bytes = encode(trunk);
  const auto found = read_trunk(bytes.bytes());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->version, trunk.version);
  EXPECT_EQ(found->values, trunk.values);
  EXPECT_EQ(found->momentum, trunk.momentum);
  EXPECT_EQ(found->contributions, trunk.contributions);
  for (size_t size = 0; size < bytes.size(); size += 7)
    EXPECT_FALSE(read_trunk(bytes.bytes().first(size)).ok());
}

TEST(Trunk, OfARoundBeyondAllReasonIsRefused) {
  TrunkSnapshot trunk = first_trunk();
  trunk.version.round = UINT64_MAX;
  EXPECT_TRUE(absl::IsInvalidArgument(read_trunk(encode(trunk).bytes()).status()));
}

TEST(News, OfMoreRowsThanAnybodyLearnsFromIsRefused) {
  News news;
  news.ready = Contribution{peer_of(1), {}, kContributionRowsMax + 1};
  EXPECT_TRUE(absl::IsInvalidArgument(read_news(encode(news).bytes()).status()));
}

TEST(Trunk, WithANumberThatIsNotFiniteIsNotLoaded) {
  tensor::Parameter learned = tensor::Parameter::vector("learned", kNumbers, tensor::Train::no);
  TrunkLayout layout({&learned}, {});
  TrunkSnapshot trunk = first_trunk();
  trunk.layout = layout.digest();
  trunk.momentum.assign(kNumbers, 0.5f);
  EXPECT_TRUE(layout.load(trunk).ok());
  trunk.momentum.back() = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(absl::IsDataLoss(layout.load(trunk)));
  trunk.momentum.clear();
  trunk.values.back() = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(absl::IsDataLoss(layout.load(trunk)));
  EXPECT_EQ(layout.values(), first_trunk().values);
}

TEST(Trunk, VersionsHaveOneOrder) {
  EXPECT_LT((TrunkVersion{9, 5, peer_of(0), 100}), (TrunkVersion{1, 1, peer_of(3), 101}));
  EXPECT_LT((TrunkVersion{1, 5, peer_of(0)}), (TrunkVersion{2, 1, peer_of(3)}));
  EXPECT_LT((TrunkVersion{1, 1, peer_of(0)}), (TrunkVersion{1, 2, peer_of(3)}));
  EXPECT_LT((TrunkVersion{1, 2, peer_of(3)}), (TrunkVersion{1, 2, peer_of(0)}));
}

}  // namespace
}  // namespace agora::swarm
