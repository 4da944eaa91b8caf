#include "agora/swarm/mix_call.h"

#include <optional>
#include <set>
#include <utility>

#include "agora/swarm/test_mix_call.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agora::swarm {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Token 0 chose experts 0, 1, 2; token 1 chose 1, 3.
moe::Route route() {
  return {.first = {0, 3, 5}, .expert = {0, 1, 2, 1, 3}, .weight = {.5f, .3f, .2f, .6f, .4f}};
}

class MixCallTest : public testing::Test {
 protected:
  MixCall& make(const MixSettings& settings) {
    return call_.emplace(route_, settings, candidates_of(placement_), budget_, Rng(1));
  }
  static std::vector<uint8_t> all_of(const MixSend& send) {
    return std::vector<uint8_t>(send.choices.size(), 1);
  }
  MixActions answer(uint32_t send, int64_t now) {
    return call_->on_reply(send, all_of(call_->send(send)), now);
  }

  moe::Route route_ = route();
  HeldBy placement_{{0, {1, 9}}, {1, {1, 9}}, {2, {2, 9}}, {3, {2, 9}}};
  Spend budget_;
  std::optional<MixCall> call_;
};

TEST_F(MixCallTest, OneSendToEachHost) {
  MixCall& call = make(kTraining);
  const MixActions start = call.start(0);
  ASSERT_EQ(start.sends.size(), 2u);
  EXPECT_EQ(start.sends[0].to, peer(1));
  EXPECT_THAT(start.sends[0].choices, ElementsAre(0, 1, 3));
  EXPECT_THAT(start.sends[1].choices, ElementsAre(2, 4));
  EXPECT_EQ(start.sends[0].deadline_ns, 400);
  answer(1, 10);
  EXPECT_FALSE(call.done());
  answer(0, 20);
  EXPECT_TRUE(call.done());
  EXPECT_THAT(call.summands(), ElementsAre(0, 1));
  EXPECT_THAT(call.arrived(), ElementsAre(1, 1, 1, 1, 1));
  EXPECT_EQ(call.served().first, 5);
}

TEST_F(MixCallTest, NothingToDoIsDone) {
  route_ = {};
  MixCall& call = make(kTraining);
  EXPECT_THAT(call.start(0).sends, IsEmpty());
  EXPECT_TRUE(call.done());
}

TEST_F(MixCallTest, AnotherReplicaTakesOver) {
  MixCall& call = make(kTraining);
  call.start(0);
  answer(1, 10);
  const MixActions next = call.on_failure(0, Failure::gone, 20);
  ASSERT_EQ(next.sends.size(), 1u);
  EXPECT_EQ(next.sends[0].to, peer(9));
  EXPECT_EQ(next.sends[0].origin, 0u);
  EXPECT_THAT(next.sends[0].choices, ElementsAre(0, 1, 3));
  answer(2, 30);
  EXPECT_TRUE(call.done());
  EXPECT_THAT(call.summands(), ElementsAre(2, 1)) << "by the lowest expert";
  EXPECT_EQ(call.served().replica, 3);
}

// Random seed 180, simulated: a host that had lost the ticket got the rows in what was left of the first
// try's time, less than a round trip.
TEST_F(MixCallTest, AHostThatIsSentMoreHasItsTimeAnew) {
  MixCall& call = make(kTraining);
  call.start(0);
  call.begin_again(0, 300);
  EXPECT_EQ(call.send(0).deadline_ns, 700);
  EXPECT_EQ(call.send(1).deadline_ns, 400);
  call.begin_again(0, 690);
  EXPECT_EQ(call.send(0).deadline_ns, 1000);  // the call's own
  answer(0, 900);
  answer(1, 900);
  EXPECT_THAT(call.arrived(), ElementsAre(1, 1, 1, 1, 1));
}

TEST_F(MixCallTest, WhatAHostDoesNotHoldGoesElsewhereAndTheRestCounts) {
  MixCall& call = make(kTraining);
  call.start(0);
  answer(1, 10);
  const MixActions next = call.on_reply(0, std::vector<uint8_t>{0, 1, 1}, 20);
  ASSERT_EQ(next.sends.size(), 1u);
  EXPECT_THAT(next.sends[0].choices, ElementsAre(0));
  answer(2, 30);
  EXPECT_THAT(call.arrived(), ElementsAre(1, 1, 1, 1, 1));
  EXPECT_EQ(call.summands().size(), 3u);
}

TEST_F(MixCallTest, WithoutABudgetNothingIsRepeated) {
  budget_.retries = 0;
  MixCall& call = make(kTraining);
  call.start(0);
  EXPECT_THAT(call.on_failure(0, Failure::gone, 20).sends, IsEmpty());
  answer(1, 30);
  EXPECT_TRUE(call.done());
  EXPECT_THAT(call.arrived(), ElementsAre(0, 0, 1, 0, 1));
  EXPECT_EQ(call.served().lost, 3);
}

TEST_F(MixCallTest, ABrokenWayCostsNoBudget) {
  budget_.retries = 0;
  MixCall& call = make(kTraining);
  call.start(0);
  const MixActions next = call.on_failure(0, Failure::broken, 20);
  ASSERT_EQ(next.sends.size(), 1u);
  EXPECT_EQ(next.sends[0].to, peer(9));
  EXPECT_EQ(budget_.retries, 0);
}

TEST_F(MixCallTest, AnAnswerDoesNotChangeForWantOfABudget) {
  route_ = {.first = {0, 1}, .expert = {0}, .weight = {1}, .runner_up = {3}};
  for (const Failure failure : {Failure::gone, Failure::busy}) {
    budget_.retries = 0;
    MixCall& call = make(kInteractive);
    const peers::PeerId first = call.start(0).sends.at(0).to;
    EXPECT_THAT(call.on_failure(0, failure, 20).sends, IsEmpty());
    EXPECT_FALSE(call.done());
    EXPECT_EQ(call.timer_ns(), 70);
    const MixActions next = call.on_timer(70);
    ASSERT_EQ(next.sends.size(), 1u);
    EXPECT_EQ(next.sends[0].way, Way::replica);
    EXPECT_TRUE(failure == Failure::busy || next.sends[0].to != first);
    answer(1, 80);
    EXPECT_TRUE(call.done());
    EXPECT_EQ(call.served().replica, 1);
  }
}

TEST_F(MixCallTest, ABusyLeaderIsAskedAgainAfterAPause) {
  MixCall& call = make(kTraining);
  call.start(0);
  answer(1, 10);
  EXPECT_THAT(call.on_failure(0, Failure::busy, 20).sends, IsEmpty());
  EXPECT_FALSE(call.done());
  EXPECT_EQ(call.timer_ns(), 70);
  const MixActions again = call.on_timer(70);
  ASSERT_EQ(again.sends.size(), 1u);
  EXPECT_EQ(again.sends[0].to, peer(1));
  answer(2, 80);
  EXPECT_TRUE(call.done());
}

TEST_F(MixCallTest, ABusyHostsPauseIsItsOwnAndDoesNotGrowForEver) {
  constexpr int kHosts = 60;
  route_ = {.first = {0, kHosts}, .expert = {}, .weight = std::vector<float>(kHosts, 1)};
  for (int e = 0; e < kHosts; ++e) {
    route_.expert.push_back(e);
    placement_[e] = {e + 1};
  }
  MixSettings settings = kTraining;
  settings.deadline_ns = INT64_MAX;
  MixCall& call = make(settings);
  for (const MixSend& send : call.start(0).sends) call.on_failure(send.send, Failure::busy, 20);
  EXPECT_EQ(call.timer_ns(), 70);
  std::vector<MixSend> again = call.on_timer(70).sends;
  EXPECT_EQ(again.size(), size_t{kHosts});
  while (again.size() > 1) {
    answer(again.back().send, 80);
    again.pop_back();
  }
  int64_t now = 80, pause = 0;
  for (uint32_t send = again[0].send, i = 0; i < 70; ++i, send = call.on_timer(now).sends.at(0).send) {
    call.on_failure(send, Failure::busy, now);
    pause = call.timer_ns() - std::exchange(now, call.timer_ns());
  }
  EXPECT_EQ(pause, settings.pause_ns_max);
}

TEST_F(MixCallTest, AHedgeTakesThePlaceOfTheSlow) {
  placement_ = {{0, {1, 3}}, {1, {1, 3}}, {2, {1, 3}}, {3, {1, 3}}};
  MixCall& call = make(kInteractive);
  const MixActions start = call.start(0);
  // Two draws for each expert: both hosts may have been chosen.
  for (size_t i = 1; i < start.sends.size(); ++i) answer(start.sends[i].send, 10);
  EXPECT_EQ(call.timer_ns(), 100);
  const MixActions hedge = call.on_timer(100);
  ASSERT_EQ(hedge.sends.size(), 1u);
  EXPECT_EQ(hedge.sends[0].way, Way::hedge);
  EXPECT_NE(hedge.sends[0].to, call.send(0).to);
  EXPECT_EQ(hedge.sends[0].choices, call.send(0).choices);
  EXPECT_EQ(call.timer_ns(), 1000) << "a send is hedged once, a hedge never";
  const MixActions settled = answer(hedge.sends[0].send, 150);
  EXPECT_THAT(settled.cancels, ElementsAre(0));
  EXPECT_TRUE(call.done());
  EXPECT_EQ(call.served().lost, 0);
  EXPECT_GT(call.served().hedge, 0);
}

TEST_F(MixCallTest, TheFirstHostsAnswerCancelsItsHedge) {
  placement_ = {{0, {1, 3}}, {1, {1, 3}}, {2, {1, 3}}, {3, {1, 3}}};
  MixCall& call = make(kInteractive);
  const MixActions start = call.start(0);
  for (size_t i = 1; i < start.sends.size(); ++i) answer(start.sends[i].send, 10);
  const MixActions hedge = call.on_timer(100);
  EXPECT_THAT(answer(0, 120).cancels, ElementsAre(hedge.sends[0].send));
  EXPECT_TRUE(call.done());
  EXPECT_EQ(call.served().hedge, 0);
}

TEST_F(MixCallTest, AHedgeGoesOnWhenTheFirstHostFails) {
  placement_ = {{0, {1, 3}}, {1, {1, 3}}, {2, {1, 3}}, {3, {1, 3}}};
  MixCall& call = make(kInteractive);
  const MixActions start = call.start(0);
  for (size_t i = 1; i < start.sends.size(); ++i) answer(start.sends[i].send, 10);
  const MixActions hedge = call.on_timer(100);
  EXPECT_THAT(call.on_failure(0, Failure::gone, 110).sends, IsEmpty());
  EXPECT_FALSE(call.done());
  answer(hedge.sends[0].send, 130);
  EXPECT_TRUE(call.done());
  EXPECT_EQ(call.served().lost, 0);
}

TEST_F(MixCallTest, TheRunnerUpStandsInOnceForAToken) {
  placement_ = {{1, {1}}, {3, {1}}, {4, {2}}};  // nobody holds experts 0 and 2
  route_.runner_up = {4, -1};
  MixCall& call = make(kInteractive);
  const MixActions start = call.start(0);
  ASSERT_EQ(start.sends.size(), 2u);
  EXPECT_EQ(start.sends[1].way, Way::next_expert);
  EXPECT_THAT(start.sends[1].choices, ElementsAre(0));
  EXPECT_THAT(start.sends[1].experts, ElementsAre(4));
  answer(0, 10);
  answer(1, 10);
  EXPECT_TRUE(call.done());
  EXPECT_THAT(call.arrived(), ElementsAre(1, 1, 0, 1, 1));
  EXPECT_EQ(call.served().next_expert, 1);
}

// Its host was busy first, or slow: it is still not the expert that was chosen.
TEST_F(MixCallTest, TheRunnerUpIsReportedAsTheRunnerUp) {
  placement_ = {{1, {1}}, {2, {1}}, {3, {1}}, {4, {2}}};  // nobody holds expert 0
  route_.runner_up = {4, -1};
  MixCall& call = make(kInteractive);
  call.start(0);
  answer(0, 10);
  EXPECT_THAT(call.on_failure(1, Failure::busy, 20).sends, IsEmpty());
  placement_[4] = {2, 3};
  const MixActions again = call.on_timer(70);
  ASSERT_EQ(again.sends.size(), 1u);
  EXPECT_EQ(again.sends[0].way, Way::next_expert);
  const MixActions hedge = call.on_timer(170);
  ASSERT_EQ(hedge.sends.size(), 1u);
  EXPECT_NE(hedge.sends[0].to, again.sends[0].to);
  EXPECT_EQ(hedge.sends[0].way, Way::next_expert);
  EXPECT_EQ(call.timer_ns(), 1000) << "a send is hedged once, a hedge never";
  answer(hedge.sends[0].send, 180);
  EXPECT_TRUE(call.done());
  EXPECT_EQ(call.served().next_expert, 1);
  EXPECT_EQ(call.served().lost, 0);
}

TEST_F(MixCallTest, StaleReplicasAreNotAsked) {
  MixCall call(
      route_, {.leader_first = false, .version_age_max = 2, .deadline_ns = 1000},
      [](int32_t) {
        return std::vector<Candidate>{{.peer = peer(1), .version = 10, .wait_ns = 1'000'000},
                                      {.peer = peer(2), .version = 7, .wait_ns = 1}};
      },
      budget_, Rng(1));
  for (const MixSend& send : call.start(0).sends) EXPECT_EQ(send.to, peer(1));
}

// The record of a host that holds much says the least version of many experts.
TEST_F(MixCallTest, ALeaderIsNeverStale) {
  MixCall call(
      route_, {.leader_first = false, .version_age_max = 2, .deadline_ns = 1000},
      [](int32_t) {
        return std::vector<Candidate>{
            {.peer = peer(1), .leads = true, .epoch = 2, .version = 7, .wait_ns = 1},
            {.peer = peer(2), .leads = true, .epoch = 1, .version = 7, .wait_ns = 1},
            {.peer = peer(3), .leads = false, .epoch = 2, .version = 10, .wait_ns = 1'000'000}};
      },
      budget_, Rng(1));
  std::set<peers::PeerId> asked;
  for (int i = 0; i < 20; ++i) {
    for (const MixSend& send : call.start(0).sends) asked.insert(send.to);
  }
  EXPECT_THAT(asked, ElementsAre(peer(1), peer(3)));
}

TEST_F(MixCallTest, TheHigherEpochLeads) {
  MixCall call(
      route_, kTraining,
      [](int32_t) {
        return std::vector<Candidate>{{.peer = peer(1), .leads = true, .epoch = 2, .version = 10},
                                      {.peer = peer(2), .leads = true, .epoch = 3, .version = 7},
                                      {.peer = peer(3), .leads = false, .epoch = 4, .version = 70}};
      },
      budget_, Rng(1));
  for (const MixSend& send : call.start(0).sends) EXPECT_EQ(send.to, peer(2));
}

TEST_F(MixCallTest, AHostIsGivenTheTimeThatItsOwnAnswersSuggest) {
  MixSettings settings = kTraining;
  settings.attempt_ns_min = 100;
  settings.choice_ns = 10;
  call_.emplace(route_, settings, candidates_of(placement_), budget_, Rng(1), [](const peers::PeerId& host) {
    return host == peer(1) ? int64_t{0} : INT64_MAX;  // silent; not known yet
  });
  const MixActions start = call_->start(0);
  ASSERT_EQ(start.sends.size(), 2u);
  EXPECT_EQ(start.sends[0].deadline_ns, 100);
  EXPECT_EQ(start.sends[1].deadline_ns, 420) << "more for each of its two choices, not for the others'";
}

// Where its forward went: not when that host is left alone by now, though it has the ticket.
TEST_F(MixCallTest, APieceWhoseHostIsNoCandidateAnyMoreGoesElsewhereAtOnce) {
  MixCall& call = make(kTraining);
  placement_ = {{0, {9}}, {1, {9}}, {2, {2, 9}}, {3, {2, 9}}};
  const MixActions start = call.start({{peer(1), {}, {0, 1, 3}}, {peer(2), {}, {2, 4}}}, 0);
  ASSERT_EQ(start.sends.size(), 2u);
  EXPECT_EQ(start.sends[0].send, 1u) << "the numbers of the pieces stay";
  EXPECT_EQ(start.sends[0].to, peer(2));
  EXPECT_EQ(start.sends[1].to, peer(9));
  EXPECT_EQ(start.sends[1].origin, 0u) << "the part that its update is counted under";
  answer(1, 10);
  EXPECT_FALSE(call.done());
  answer(2, 20);
  EXPECT_TRUE(call.done());
  EXPECT_THAT(call.arrived(), ElementsAre(1, 1, 1, 1, 1));
}

TEST_F(MixCallTest, TheDeadlineEndsEverything) {
  MixCall& call = make(kTraining);
  call.start(0);
  answer(1, 10);
  const MixActions end = call.on_timer(1000);
  EXPECT_THAT(end.cancels, ElementsAre(0));
  EXPECT_TRUE(call.done());
  EXPECT_THAT(call.on_reply(0, std::vector<uint8_t>{1, 1, 1}, 1001).sends, IsEmpty());
  EXPECT_THAT(call.arrived(), ElementsAre(0, 0, 1, 0, 1));
}

}  // namespace
}  // namespace agora::swarm
