#include "agora/peers/health/ejection.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace agora::peers {
namespace {

using base::kSecondNs;

class EjectionTest : public testing::Test {
 protected:
  void fail(int times) {
    for (int i = 0; i < times; ++i) ejection_.on_failure(now_, rng_);
  }
  Ejection::State state() const { return ejection_.state(now_); }
  void probe(bool success) {
    now_ = ejection_.until_ns();
    EXPECT_EQ(state(), Ejection::State::probe);
    ejection_.on_call(now_);
    EXPECT_EQ(state(), Ejection::State::probing);
    if (success) {
      ejection_.on_success(now_);
    } else {
      fail(1);
    }
  }

  int64_t now_ = kSecondNs;
  Rng rng_{3};
  Ejection ejection_{{}};
};

TEST_F(EjectionTest, FailuresInARowEject) {
  fail(2);
  ejection_.on_success(now_);
  fail(2);
  EXPECT_EQ(state(), Ejection::State::closed);
  fail(1);
  EXPECT_EQ(state(), Ejection::State::ejected);
}

TEST_F(EjectionTest, HalfOfTheCallsFailingEjects) {
  for (int i = 0; i < 15 && state() == Ejection::State::closed; ++i) {
    fail(1);
    ejection_.on_success(now_);
  }
  EXPECT_EQ(state(), Ejection::State::ejected);
}

TEST_F(EjectionTest, FewFailuresDoNotEject) {
  for (int i = 0; i < 1000; ++i) {
    if (i % 5 == 0) fail(1);
    ejection_.on_success(now_);
    ASSERT_EQ(state(), Ejection::State::closed);
  }
}

TEST_F(EjectionTest, OneProbeTakesThePeerBack) {
  fail(3);
  probe(true);
  EXPECT_EQ(state(), Ejection::State::closed);
  fail(2);  // the count starts again
  EXPECT_EQ(state(), Ejection::State::closed);
}

TEST_F(EjectionTest, EachFailedProbeEjectsForLongerWithinTheLimit) {
  fail(3);
  double expected_s = 1;
  for (int i = 0; i < 40; ++i) {
    const double length_s = static_cast<double>(ejection_.until_ns() - now_) / kSecondNs;
    EXPECT_GE(length_s, 0.8 * expected_s);
    EXPECT_LE(length_s, 1.2 * expected_s);
    expected_s = std::min(2 * expected_s, 30.0);
    probe(false);
    EXPECT_EQ(state(), Ejection::State::ejected);
  }
}

TEST_F(EjectionTest, LateOutcomesOfOldCallsChangeNothing) {
  fail(3);
  const int64_t until = ejection_.until_ns();
  fail(10);
  ejection_.on_success(now_);
  EXPECT_EQ(ejection_.until_ns(), until);
  EXPECT_EQ(state(), Ejection::State::ejected);
}

TEST_F(EjectionTest, AProbeWithoutOutcomeIsFollowedByAnother) {
  fail(3);
  now_ = ejection_.until_ns();
  ejection_.on_call(now_);
  now_ += 5 * kSecondNs;
  EXPECT_EQ(state(), Ejection::State::probe);
  ejection_.on_call(now_);
  ejection_.on_unknown();
  EXPECT_EQ(state(), Ejection::State::probe);
}

}  // namespace
}  // namespace agora::peers
