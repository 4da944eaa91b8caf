// For whom a round waits, and for how long.
#include <algorithm>
#include <cstring>
#include <set>

#include "agora/swarm/averaging/round.h"
#include "agora/swarm/averaging/trainers_at_hand.h"
#include <gtest/gtest.h>

namespace agora::swarm {
namespace {

using Kind = RoundAction::Kind;

News at(const TrunkVersion& version) {
  News news;
  news.version = version;
  return news;
}

News ready(const TrunkVersion& version, size_t i) {
  News news = at(version);
  news.ready = contribution_of(i);
  return news;
}

TEST(Round, WhoHearsOfAFresherTrunkOutOfReachDecidesNothingAlone) {
  Round round(RoundConfig{}, peer_of(0), {}, contribution_of(0), {peer_of(1)}, 1);
  round.take_actions();
  round.on_answer(peer_of(1), 1, at({5, 1, peer_of(1)}), false, 2);
  int64_t now_ns = 2;
  for (uint64_t number = 2; number < 100; ++number) {
    EXPECT_TRUE(round.take_actions().empty());
    ASSERT_LT(round.wake_ns(), now_ns + kSecondNs) << "it asks on";
    now_ns = round.wake_ns();
    round.on_time(now_ns);
    const auto asks = round.take_actions();
    if (asks.empty()) continue;  // another time was over
    ASSERT_EQ(asks[0].kind, Kind::tell);
    round.on_answer(peer_of(1), asks[0].number, at({5, 1, peer_of(1)}), false, now_ns);
  }
  round.on_lost(peer_of(1), now_ns);
  const auto actions = round.take_actions();
  ASSERT_FALSE(actions.empty());
  EXPECT_EQ(actions[0].kind, Kind::finish) << "nobody has a fresher one any more";
}

constexpr TrunkVersion kBase{4, 2, {}}, kOlder{3, 2, {}};

TEST(Round, WhoIsBehindButComesIsWaitedFor) {
  Round round(RoundConfig{}, peer_of(0), kBase, contribution_of(0), {peer_of(1)}, 1);
  News behind = at(kOlder);
  behind.coming = true;
  int64_t now_ns = 1;
  while (now_ns < 10 * kSecondNs) {
    for (const RoundAction& action : round.take_actions()) {
      round.on_answer(peer_of(1), action.number, behind, true, now_ns);
    }
    now_ns = round.wake_ns();
    round.on_time(now_ns);
  }
  ASSERT_FALSE(round.over());
  round.on_news(peer_of(1), ready(kBase, 1), true, now_ns);
  round.on_fetched(contribution_of(1).hash, peer_of(1), true, now_ns + 100 * kMillisecondNs);
  ASSERT_TRUE(round.over());
  EXPECT_EQ(round.decision()->counted.size(), 2u);
  EXPECT_TRUE(round.late().empty());
}

// Trainers wait for rounds by this number.
TEST(Round, OfALongTrunkIsDecidedInItsTime) {
  const RoundConfig config = for_trunk({}, 2'000'000);
  EXPECT_GT(config.pull_ns, 2 * RoundConfig().pull_ns);
  Round round(config, peer_of(0), kBase, contribution_of(0), {peer_of(1)}, 1);
  News behind = at(kOlder);
  behind.coming = true;
  const int64_t here_ns = config.gather_ns + config.pull_ns;  // just in time, with what nobody can fetch
  for (int64_t now_ns = 1; !round.over(); round.on_time(now_ns)) {
    ASSERT_LE(now_ns, 1 + round_ns_max(config));
    for (const RoundAction& action : round.take_actions()) {
      if (action.kind != Kind::tell) continue;
      const News news = now_ns < here_ns ? behind : ready(kBase, 1);
      round.on_answer(peer_of(1), action.number, news, true, now_ns);
    }
    now_ns = round.wake_ns();
  }
  EXPECT_EQ(round.decision()->counted.size(), 1u);
}

TEST(Round, WhoIsBehindForGoodIsNotWaitedFor) {
  Round round(RoundConfig{}, peer_of(0), kBase, contribution_of(0), {peer_of(1)}, 1);
  round.on_news(peer_of(1), at(kOlder), true, 2);
  EXPECT_TRUE(round.over());
}

TEST(Round, WhoWasWaitedForInVainIsNotWaitedForAgain) {
  const RoundConfig config;
  Round round(config, peer_of(0), kBase, contribution_of(0), {peer_of(1)}, 1);
  News behind = at(kOlder);
  behind.coming = true;
  round.on_answer(peer_of(1), 1, behind, true, 2);
  round.on_time(1 + config.gather_ns);
  ASSERT_FALSE(round.over());
  round.on_answer(peer_of(1), 2, behind, true, 2 + config.gather_ns);
  round.on_time(1 + config.gather_ns + config.pull_ns);
  ASSERT_TRUE(round.over());
  EXPECT_EQ(round.late(), std::set{peer_of(1)});
  Round next(config, peer_of(0), kBase, contribution_of(0), {peer_of(1), peer_of(2)}, 1, round.late());
  next.on_answer(peer_of(1), 1, at(kBase), true, 2);
  ASSERT_FALSE(next.over());
  next.on_answer(peer_of(2), 2, ready(kBase, 2), true, 3);
  next.on_fetched(contribution_of(2).hash, peer_of(2), true, 4);
  ASSERT_TRUE(next.over());
  EXPECT_EQ(next.decision()->counted.size(), 2u);
  EXPECT_TRUE(next.late().empty());
}

// A save, or an evaluation: it was shut out of seven rounds for one.
TEST(Round, WhoIsLongInItsStepIsWaitedForTheNextTimeToo) {
  const RoundConfig config;
  Round round(config, peer_of(0), kBase, contribution_of(0), {peer_of(1)}, 1);
  round.on_answer(peer_of(1), 1, at(kBase), true, 2);
  round.on_time(1 + config.gather_ns);
  ASSERT_TRUE(round.over());
  EXPECT_EQ(round.decision()->counted.size(), 1u);
  EXPECT_TRUE(round.late().empty());
}

TEST(Round, WhoRestsIsNotWaitedForButTold) {
  Round round(RoundConfig{}, peer_of(1), kBase, contribution_of(1), {peer_of(0), peer_of(2)}, 1);
  round.take_actions();
  News resting = at(kBase);
  resting.resting = true;
  round.on_answer(peer_of(0), 1, resting, true, 2);
  ASSERT_FALSE(round.over());
  round.on_answer(peer_of(2), 2, ready(kBase, 2), true, 3);
  round.on_fetched(contribution_of(2).hash, peer_of(2), true, 4);
  ASSERT_TRUE(round.over());
  EXPECT_EQ(round.decision()->counted.size(), 2u);
  EXPECT_TRUE(round.late().empty());
  const auto actions = round.take_actions();
  EXPECT_EQ(std::ranges::count(actions, Kind::tell, &RoundAction::kind), 2);
}

// Its last share is still on its way into the round.
TEST(Round, WhoRestsButIsReadyCounts) {
  Round round(RoundConfig{}, peer_of(0), kBase, contribution_of(0), {peer_of(1)}, 1);
  News last = ready(kBase, 1);
  last.resting = true;
  round.on_answer(peer_of(1), 1, last, true, 2);
  last.ready.reset();
  round.on_news(peer_of(1), last, true, 3);
  ASSERT_FALSE(round.over());
  round.on_fetched(contribution_of(1).hash, peer_of(1), true, 4);
  ASSERT_TRUE(round.over());
  EXPECT_EQ(round.decision()->counted.size(), 2u);
}

TEST(Round, TwoWhoHearOfAFresherTrunkOutOfReachGoOn) {
  Round round(RoundConfig{}, peer_of(0), {}, contribution_of(0), {peer_of(1), peer_of(2)}, 1);
  round.on_news(peer_of(1), at({5, 1, peer_of(1)}), false, 2);
  round.on_news(peer_of(2), ready({}, 2), true, 3);
  round.on_fetched(contribution_of(2).hash, peer_of(2), true, 4);
  ASSERT_TRUE(round.over());
  EXPECT_EQ(round.decision()->counted.size(), 2u);
}

// Each of its messages names another contribution, and none of them can be fetched.
TEST(Round, WhoKeepsOfferingAnotherContributionKeepsNobodyWaiting) {
  const RoundConfig config;
  Round round(config, peer_of(0), {}, contribution_of(0), {peer_of(1)}, 1);
  int64_t now_ns = 1, fetches = 0, ended_ns = 0;
  for (uint64_t number = 1; ended_ns == 0 && now_ns < 600 * kSecondNs; ++number) {
    now_ns += 100 * kMillisecondNs;
    Contribution another = contribution_of(1);
    std::memcpy(another.hash.data() + 8, &number, sizeof number);
    News news;
    news.ready = another;
    round.on_news(peer_of(1), news, true, now_ns);
    for (const RoundAction& action : round.take_actions()) {
      if (action.kind == Kind::tell) round.on_answer(peer_of(1), action.number, news, true, now_ns);
      if (action.kind == Kind::fetch) ++fetches;
      if (action.kind == Kind::finish) ended_ns = now_ns;
    }
  }
  EXPECT_GT(ended_ns, 0);
  EXPECT_LE(ended_ns, config.fetch_ns + kSecondNs);
  EXPECT_LE(fetches, config.fetches_max);
}

}  // namespace
}  // namespace agora::swarm
