#include "agora/peers/health/health.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "agora/base/virtual_loop.h"
#include "agora/peers/health/budget.h"
#include <gtest/gtest.h>

namespace agora::peers {
namespace {

using base::kMicrosecondNs;
using base::kMillisecondNs;
using base::kSecondNs;

PeerId peer(int number) {
  PeerId id;
  id.bytes[0] = static_cast<std::byte>(number);
  return id;
}

// ---- LatencyQuantile

TEST(LatencyQuantile, IsAtMostOneBucketAboveTheTruth) {
  Rng rng(7);
  LatencyQuantile latency;
  std::vector<int64_t> truth;
  for (int i = 0; i < 500; ++i) {
    const auto ns = static_cast<int64_t>(20e3 * std::exp2(10 * rng.uniform_double()));
    latency.add(ns);
    truth.push_back(ns);
  }
  std::sort(truth.begin(), truth.end());
  for (const double q : {0.0, 0.05, 0.5, 0.9, 0.95, 0.99, 1.0}) {
    const auto rank = static_cast<size_t>(std::max(std::ceil(q * 500) - 1, 0.0));
    EXPECT_GE(latency.quantile_ns(q), truth[rank]) << q;
    EXPECT_LE(static_cast<double>(latency.quantile_ns(q)), 1.2 * static_cast<double>(truth[rank])) << q;
  }
}

TEST(LatencyQuantile, ForgetsWhatWasLongAgo) {
  LatencyQuantile latency;
  for (int i = 0; i < 1000; ++i) latency.add(50 * kMillisecondNs);
  for (int i = 0; i < 1500; ++i) latency.add(kMillisecondNs);
  EXPECT_LT(latency.quantile_ns(0.9), 2 * kMillisecondNs);
}

TEST(LatencyQuantile, HoldsAnyNumber) {
  LatencyQuantile latency;
  EXPECT_EQ(latency.quantile_ns(0.5), 0);
  for (const int64_t ns : {INT64_MIN, int64_t{-1}, int64_t{0}}) latency.add(ns);
  EXPECT_EQ(latency.quantile_ns(1), 8 * kMicrosecondNs);
  latency.add(INT64_MAX);
  EXPECT_GT(latency.quantile_ns(1), 9 * kSecondNs);
}

// ---- Budget

TEST(Budget, GivesAShareOfTheCalls) {
  Budget budget({.share = 0.05, .saved_max = 5, .saved_first = 0});
  int taken = 0;
  for (int i = 0; i < 1000; ++i) {
    budget.on_call();
    taken += budget.take() ? 1 : 0;
  }
  EXPECT_EQ(taken, 50);
}

TEST(Budget, SavesUpToItsLimit) {
  Budget budget(kRetryBudget);
  for (int i = 0; i < 10'000; ++i) budget.on_call();
  int taken = 0;
  while (budget.take()) ++taken;
  EXPECT_EQ(taken, 10);
}

// ---- Health

class HealthTest : public testing::Test {
 protected:
  void fail(int number) {
    for (int i = 0; i < 3; ++i) {
      health_.on_call(peer(number), now_);
      health_.on_failure(peer(number), now_);
    }
  }
  void answer(int number, int64_t latency_ns, uint32_t load_us = 0) {
    health_.on_call(peer(number), now_);
    health_.on_answer(peer(number), now_, latency_ns, load_us);
  }

  int64_t now_ = kSecondNs;
  Health health_{{}, Rng(5)};
  const std::vector<PeerId> three_{peer(1), peer(2), peer(3)};
};

TEST_F(HealthTest, TheEjectedAreNotUsable) {
  EXPECT_EQ(health_.usable(three_, now_), (std::vector<size_t>{0, 1, 2}));
  fail(2);
  EXPECT_EQ(health_.usable(three_, now_), (std::vector<size_t>{0, 2}));
}

TEST_F(HealthTest, TheLastReplicaStays) {
  fail(1);
  now_ += kMillisecondNs * 500;  // 1 comes back first
  fail(2);
  fail(3);
  EXPECT_EQ(health_.usable(three_, now_), (std::vector<size_t>{0}));
  EXPECT_EQ(health_.usable(three_, now_, 2).size(), 2u);
  EXPECT_EQ(health_.usable(three_, now_, 9).size(), 3u);
  EXPECT_TRUE(health_.usable({}, now_).empty());
}

TEST_F(HealthTest, ReportsGrowOld) {
  answer(1, kMillisecondNs);
  answer(2, kMillisecondNs, 20'000);
  const int64_t at_once = health_.expected_ns(peer(2), now_);
  EXPECT_EQ(at_once, 21 * kMillisecondNs);
  EXPECT_EQ(health_.expected_ns(peer(2), now_ + kSecondNs), 11 * kMillisecondNs);
}

TEST_F(HealthTest, CallsUnderWayCount) {
  answer(1, kMillisecondNs);
  for (int i = 0; i < 4; ++i) health_.on_call(peer(1), now_);
  EXPECT_EQ(health_.expected_ns(peer(1), now_), 5 * kMillisecondNs);
  for (int i = 0; i < 4; ++i) health_.on_given_up(peer(1), now_);
  EXPECT_EQ(health_.expected_ns(peer(1), now_), kMillisecondNs);
}

TEST_F(HealthTest, QuantilesNeedSomeCalls) {
  for (int i = 0; i < 7; ++i) answer(1, kMillisecondNs);
  EXPECT_EQ(health_.quantile_ns(peer(1), 0.95), 0);
  answer(1, kMillisecondNs);
  EXPECT_GE(health_.quantile_ns(peer(1), 0.95), kMillisecondNs);
}

// ---- Silence: a machine that stands still against one that is slow

class SilenceTest : public testing::Test {
 protected:
  SilenceTest() {
    for (int number = 1; number <= kPeers; ++number) {
      for (int i = 0; i < 20; ++i) {
        health_.on_call(peer(number), now_);
        now_ += 5 * kMillisecondNs;
        health_.on_answer(peer(number), now_, 5 * kMillisecondNs, 0);
      }
    }
  }
  void answer_at(int number, int64_t begun_ns, int64_t now_ns) {
    health_.on_answer(peer(number), now_ns, now_ns - begun_ns, 0);
  }
  Ejection::State state(int number) { return health_.state(peer(number), now_); }

  static constexpr int kPeers = 6;
  int64_t now_ = kSecondNs;
  Health health_{{}, Rng(5)};
};

TEST_F(SilenceTest, WhoAnswersNobodyIsLeftAloneAfterOneCall) {
  health_.on_call(peer(1), now_);
  health_.on_call(peer(2), now_);
  answer_at(2, now_, now_ + 5 * kMillisecondNs);
  now_ += 400 * kMillisecondNs;
  EXPECT_EQ(state(1), Ejection::State::closed);
  health_.on_late(peer(1), now_, 400 * kMillisecondNs);
  EXPECT_EQ(state(1), Ejection::State::ejected);
  EXPECT_EQ(health_.patience_ns(peer(1), now_), 0);
}

TEST_F(SilenceTest, AProbeIsWaitedForAsCallsWereBefore) {
  const int64_t before_ns = health_.patience_ns(peer(1), now_);
  health_.on_call(peer(1), now_);
  health_.on_call(peer(2), now_);
  answer_at(2, now_, now_ + 5 * kMillisecondNs);
  now_ += 400 * kMillisecondNs;
  health_.on_late(peer(1), now_, 400 * kMillisecondNs);
  now_ += 2 * kSecondNs;
  ASSERT_EQ(state(1), Ejection::State::probe);
  EXPECT_EQ(health_.patience_ns(peer(1), now_), before_ns);
  EXPECT_GT(before_ns, 0);
}

TEST_F(SilenceTest, CallsThatWereHedgedAwayAddUp) {
  int calls = 0;
  for (; state(1) == Ejection::State::closed && calls < 100; ++calls) {
    health_.on_call(peer(1), now_);
    health_.on_call(peer(2), now_);
    now_ += 20 * kMillisecondNs;
    answer_at(2, now_ - 20 * kMillisecondNs, now_);
    health_.on_given_up(peer(1), now_);
    now_ += kSecondNs;  // nothing waits: that is not its silence
  }
  EXPECT_EQ(calls, 250 / 20 + 1);
}

TEST_F(SilenceTest, AnAnswerEndsTheSilence) {
  for (int i = 0; i < 100; ++i) {
    health_.on_call(peer(1), now_);
    health_.on_call(peer(2), now_);
    now_ += 200 * kMillisecondNs;
    answer_at(2, now_ - 10 * kMillisecondNs, now_);
    i % 2 == 0 ? health_.on_given_up(peer(1), now_) : answer_at(1, now_ - 200 * kMillisecondNs, now_);
    ASSERT_EQ(state(1), Ejection::State::closed) << i;
  }
}

TEST_F(SilenceTest, WhereNobodyAnswersItMayBeUs) {
  for (int i = 0; i < 5 * kPeers; ++i) health_.on_call(peer(i % kPeers + 1), now_);
  now_ += 2 * kSecondNs;  // this process stood still
  for (int i = 0; i < 5 * kPeers; ++i) health_.on_late(peer(i % kPeers + 1), now_, 2 * kSecondNs);
  for (int number = 1; number <= kPeers; ++number) EXPECT_EQ(state(number), Ejection::State::closed);
}

TEST_F(SilenceTest, NotMoreThanAThirdAtOnce) {
  for (int number = 1; number <= kPeers; ++number) health_.on_call(peer(number), now_);
  answer_at(kPeers, now_, now_ + 5 * kMillisecondNs);
  now_ += 400 * kMillisecondNs;
  int out = 0;
  for (int number = 1; number < kPeers; ++number) {
    health_.on_late(peer(number), now_, 400 * kMillisecondNs);
    out += state(number) == Ejection::State::ejected ? 1 : 0;
  }
  EXPECT_EQ(out, kPeers / 3);
}

TEST_F(SilenceTest, WhoIsLateButAnswersIsSlowNotGone) {
  const int64_t before_ns = health_.patience_ns(peer(1), now_);
  for (int i = 0; i < 12; ++i) {
    health_.on_call(peer(1), now_);
    health_.on_call(peer(1), now_);
    answer_at(1, now_, now_ + 300 * kMillisecondNs);
    now_ += 400 * kMillisecondNs;
    health_.on_late(peer(1), now_, 400 * kMillisecondNs);
    ASSERT_EQ(state(1), Ejection::State::closed) << i;
  }
  EXPECT_GT(health_.patience_ns(peer(1), now_), 10 * before_ns);
}

// A gate with eight calls in flight over hosts of one overloaded machine: each works off its queue one call
// after the other, whenever the machine lets it, and at times gets no turn at all for up to a second. Ten
// minutes of virtual time; nobody is gone, so nobody but for moments may be left alone, and never many at
// once.
TEST(HealthCascade, ABusyMachineLosesNoHosts) {
  constexpr int kHosts = 4;
  constexpr int64_t kEndNs = 600 * kSecondNs;
  base::VirtualLoop loop;
  Health health({}, Rng(3));
  Rng rng(11);
  std::vector<PeerId> hosts;
  for (int i = 1; i <= kHosts; ++i) hosts.push_back(peer(i));
  std::vector<int64_t> free_ns(kHosts, 0);
  int64_t calls = 0, late = 0, left_alone_ns = 0;
  const auto drawn = [&](const std::vector<size_t>& usable) {
    return usable[rng.below(static_cast<uint32_t>(usable.size()))];
  };
  const std::function<void()> call = [&] {
    const std::vector<size_t> usable = health.usable(hosts, loop.now_ns());
    const size_t a = drawn(usable), b = drawn(usable);
    const auto expected_ns = [&](size_t host) { return health.expected_ns(hosts[host], loop.now_ns()); };
    const size_t to = expected_ns(b) < expected_ns(a) ? b : a;
    const int64_t begun_ns = loop.now_ns();
    const int64_t until_ns = begun_ns + std::clamp(health.patience_ns(hosts[to], begun_ns),
                                                   400 * kMillisecondNs, 2500 * kMillisecondNs);
    const int64_t no_turn_ns = rng.below(10) == 0 ? rng.below(1000) * kMillisecondNs : 0;
    free_ns[to] = std::max(free_ns[to], begun_ns) + no_turn_ns + 20 * kMillisecondNs;
    health.on_call(hosts[to], begun_ns);
    ++calls;
    if (free_ns[to] <= until_ns) {
      loop.at(free_ns[to], [&, to, begun_ns] {
        health.on_answer(hosts[to], loop.now_ns(), loop.now_ns() - begun_ns, 0);
        call();
      });
    } else {
      ++late;
      loop.at(until_ns, [&, to, begun_ns] {
        health.on_late(hosts[to], loop.now_ns(), loop.now_ns() - begun_ns);
        call();
      });
    }
  };
  for (int i = 0; i < 8; ++i) call();
  for (int64_t at_ns = 0; at_ns < kEndNs; at_ns += 10 * kMillisecondNs) {
    loop.run_until(at_ns);
    const size_t usable = health.usable(hosts, at_ns).size();
    ASSERT_GE(usable, size_t{kHosts - 1}) << "at " << at_ns;
    left_alone_ns += static_cast<int64_t>(kHosts - usable) * 10 * kMillisecondNs;
  }
  EXPECT_GT(late, 10) << "of " << calls;  // else this shows nothing
  EXPECT_LT(left_alone_ns, kEndNs * kHosts / 50);
}

TEST(HealthLimits, ThePeerNotCalledForLongestIsForgotten) {
  Health health({.ejection = {}, .peers_max = 2}, Rng(1));
  for (int i = 1; i <= 3; ++i) {
    for (int k = 0; k < 3; ++k) health.on_failure(peer(i), i * kMillisecondNs);
  }
  EXPECT_EQ(health.state(peer(1), 4 * kMillisecondNs), Ejection::State::closed);
  EXPECT_EQ(health.state(peer(2), 4 * kMillisecondNs), Ejection::State::ejected);
  EXPECT_EQ(health.state(peer(3), 4 * kMillisecondNs), Ejection::State::ejected);
}

}  // namespace
}  // namespace agora::peers
