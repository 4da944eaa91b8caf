#include "agora/swarm/host/ledger.h"

#include <set>

#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

namespace agora::swarm {
namespace {

UpdateKey key(uint64_t step, uint32_t micro_batch = 0, int64_t layer = 0, uint64_t run = 1,
              uint8_t trainer = 1) {
  UpdateKey k{.trainer = {}, .run = run, .step = step, .micro_batch = micro_batch, .layer = LayerId{layer}};
  k.trainer.bytes[0] = std::byte{trainer};
  return k;
}

peers::Payload answer_of(size_t bytes, uint8_t value) {
  return peers::Payload::own(std::vector<std::byte>(bytes, std::byte{value}));
}

TEST(Ledger, EachOnce) {
  Ledger ledger;
  EXPECT_FALSE(ledger.seen(key(1)));
  ledger.add(key(1), {});
  EXPECT_TRUE(ledger.seen(key(1)));
  EXPECT_FALSE(ledger.seen(key(1, 1)));
  EXPECT_FALSE(ledger.seen(key(1, 0, 1)));
  EXPECT_FALSE(ledger.seen(key(0)));
  EXPECT_FALSE(ledger.seen(key(1, 0, 0, 1, 2)));
}

TEST(Ledger, PiecesOfAPartAreEachOnce) {
  Ledger ledger;
  UpdateKey one = key(1), other = key(1);
  one.piece = 17;
  other.piece = 18;
  ledger.add(one, answer_of(4, 1));
  EXPECT_FALSE(ledger.seen(other));
  EXPECT_EQ(ledger.answer(other), nullptr);
  ledger.add(other, answer_of(4, 2));
  EXPECT_EQ(ledger.answer(one)->bytes()[0], std::byte{1});
  EXPECT_EQ(ledger.answer(other)->bytes()[0], std::byte{2});
}

TEST(Ledger, ALaterRunCountsAnewAndEndsTheEarlier) {
  Ledger ledger;
  ledger.add(key(7), {});
  EXPECT_FALSE(ledger.seen(key(7, 0, 0, 2)));
  ledger.add(key(7, 0, 0, 2), {});
  EXPECT_TRUE(ledger.seen(key(9)));
}

TEST(Ledger, WhatIsTooLongAgoCountsAsSeen) {
  Ledger ledger({.keys_per_trainer = 8});
  for (uint64_t step = 10; step < 30; ++step) ledger.add(key(step), {});
  EXPECT_TRUE(ledger.seen(key(3)));  // never came, and may not come any more
  EXPECT_TRUE(ledger.seen(key(12)));
  EXPECT_FALSE(ledger.seen(key(30)));
  EXPECT_FALSE(ledger.seen(key(29, 1)));
}

TEST(Ledger, ForgetsTheTrainerUnheardOfForLongest) {
  Ledger ledger({.trainers = 2});
  ledger.add(key(1, 0, 0, 1, 1), {});
  ledger.add(key(1, 0, 0, 1, 2), {});
  ledger.add(key(2, 0, 0, 1, 1), {});
  ledger.add(key(1, 0, 0, 1, 3), {});
  EXPECT_TRUE(ledger.seen(key(1, 0, 0, 1, 1)));
  EXPECT_FALSE(ledger.seen(key(1, 0, 0, 1, 2)));
  EXPECT_TRUE(ledger.seen(key(1, 0, 0, 1, 3)));
}

TEST(Ledger, RemembersAnswersWithinItsBytes) {
  Ledger ledger({.answer_bytes = 2 * (sizeof(UpdateKey) + 12)});
  for (uint8_t step = 1; step <= 3; ++step) ledger.add(key(step), answer_of(12, step));
  EXPECT_EQ(ledger.answer(key(1)), nullptr);
  ASSERT_NE(ledger.answer(key(3)), nullptr);
  EXPECT_EQ(ledger.answer(key(3))->bytes()[0], std::byte{3});
  ledger.add(key(4), answer_of(400, 4));
  EXPECT_EQ(ledger.answer(key(4)), nullptr);
  EXPECT_NE(ledger.answer(key(3)), nullptr);
}

TEST(Ledger, AStepEndsOnce) {
  Ledger ledger;
  EXPECT_TRUE(ledger.end_step(key(0)));
  EXPECT_FALSE(ledger.end_step(key(0)));
  EXPECT_TRUE(ledger.end_step(key(2)));
  EXPECT_FALSE(ledger.end_step(key(1)));
  EXPECT_TRUE(ledger.end_step(key(UINT64_MAX)));
  EXPECT_FALSE(ledger.end_step(key(UINT64_MAX)));
  EXPECT_TRUE(ledger.end_step(key(0, 0, 0, 2)));
  EXPECT_FALSE(ledger.end_step(key(9)));
}

// Whatever is sent, resent, delayed and reordered: nothing is applied twice, memory stays bounded, and what
// comes within the window is applied.
RC_GTEST_PROP(LedgerProperty, NothingTwice, ()) {
  const size_t window = *rc::gen::inRange<size_t>(4, 20);
  Ledger ledger({.keys_per_trainer = window, .trainers = 4, .answer_bytes = 4096});
  std::set<UpdateKey> applied;
  const auto sends = *rc::gen::container<std::vector<UpdateKey>>(rc::gen::map(
      rc::gen::tuple(rc::gen::inRange<uint64_t>(0, 40), rc::gen::inRange<uint32_t>(0, 3),
                     rc::gen::inRange(0, 3), rc::gen::inRange<uint64_t>(1, 3), rc::gen::inRange(0, 3)),
      [](const auto& t) {
        const auto& [step, micro, layer, run, trainer] = t;
        return key(step, micro, layer, run, static_cast<uint8_t>(trainer));
      }));
  for (const UpdateKey& k : sends) {
    const bool seen = ledger.seen(k);
    RC_ASSERT(seen || !applied.contains(k));
    if (seen) continue;
    ledger.add(k, answer_of(4, 1));
    applied.insert(k);
    RC_ASSERT(ledger.seen(k));
    RC_ASSERT(ledger.answer(k) != nullptr);
  }
}

RC_GTEST_PROP(LedgerProperty, WithinTheWindowOrderDoesNotMatter, (const std::vector<uint8_t>& steps)) {
  Ledger ledger({.keys_per_trainer = 256});
  std::set<uint8_t> applied;
  for (const uint8_t step : steps) {
    RC_ASSERT(ledger.seen(key(step)) == !applied.insert(step).second);
    if (!ledger.seen(key(step))) ledger.add(key(step), {});
  }
}

}  // namespace
}  // namespace agora::swarm
