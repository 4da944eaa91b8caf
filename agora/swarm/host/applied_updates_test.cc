#include "agora/swarm/host/applied_updates.h"

#include <set>
#include <string>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

namespace agora::swarm {
namespace {

constexpr AppliedLimits kLimits{.keys_per_trainer = 8, .trainers = 3};

UpdateKey key(int trainer, uint64_t run, uint64_t step, uint32_t part = 0) {
  UpdateKey k{.trainer = {}, .run = run, .step = step, .part = part, .layer = LayerId{1}};
  k.trainer.bytes[0] = std::byte{static_cast<uint8_t>(trainer)};
  return k;
}

std::string text_of(const AppliedUpdates& applied) {
  std::string text;
  applied.append_to(text);
  return text.empty() ? text : text.substr(1);
}

// Whatever is sent, it is taken once: by one that remembers, and by those that go on from its text.
RC_GTEST_PROP(AppliedUpdatesProperty, NothingTwiceOverAnyNumberOfHands,
              (const std::vector<std::tuple<uint8_t, uint8_t, uint8_t>>& sends)) {
  AppliedUpdates applied;
  std::set<UpdateKey> taken;
  for (const auto& [trainer, run, step] : sends) {
    const UpdateKey k = key(trainer % 3, run % 2, step);
    const bool seen = applied.seen(k);
    RC_ASSERT(seen || !taken.contains(k));
    if (seen) continue;
    applied.add(k, kLimits);
    taken.insert(k);
    const auto handed = AppliedUpdates::read(text_of(applied), kLimits);
    RC_ASSERT(handed.ok());
    RC_ASSERT(*handed == applied);
    applied = *handed;
  }
}

TEST(AppliedUpdates, RefusesTextsThatAreNone) {
  AppliedUpdates applied;
  for (uint64_t step = 1; step <= 20; ++step) applied.add(key(1, 1, step), kLimits);
  applied.add(key(2, 5, 7, 3), kLimits);
  const std::string good = text_of(applied);
  ASSERT_TRUE(AppliedUpdates::read(good, kLimits).ok());
  ASSERT_TRUE(AppliedUpdates::read("", kLimits).ok());
  const std::string id = key(4, 0, 0).trainer.text();
  for (const std::string& bad : std::initializer_list<std::string>{
           good + " ", good + " x", good.substr(0, good.size() - 2), " " + good,
           good + " " + good,                 // trainers twice
           id + " 1 0 2 5 0 1 0 4 0 1 0",     // does not ascend
           id + " 1 0 2 5 0 1 0 5 0 1 0",     // the same twice
           id + " 1 1 1 5 0 1 0 5 0 1 0",     // not above its floor
           id + " 1 0 9",                     // more keys than are kept
           id + " 1 0 18446744073709551615",  //
           id + " -1 0 0",                    //
           id.substr(1) + " 1 0 0",           //
           text_of(applied) + " " + id + " 1 0 0 " + key(5, 0, 0).trainer.text() + " 1 0 0",  // trainers
       }) {
    EXPECT_EQ(AppliedUpdates::read(bad, kLimits).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

}  // namespace
}  // namespace agora::swarm
