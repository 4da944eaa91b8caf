#include "agora/serve/batcher.h"

#include <map>
#include <numeric>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace agora::serve {
namespace {

constexpr SessionId kA{1}, kB{2}, kC{3}, kD{4};

TEST(Batcher, EverySessionThatAnswersReadsInEveryStep) {
  Batcher batcher({.sessions_max = 4, .rows_max = 10});
  for (const SessionId s : {kA, kB, kC}) ASSERT_TRUE(batcher.join(s, Priority::interactive, 1, 1).ok());
  ASSERT_TRUE(batcher.join(kD, Priority::interactive, 1, 100).ok());
  EXPECT_EQ(batcher.admit(), (std::vector{kA, kB, kC, kD}));
  EXPECT_EQ(batcher.plan(), (std::vector<PlannedRead>{{kA, 1}, {kB, 1}, {kC, 1}, {kD, 7}}));
}

TEST(Batcher, AloneAPromptIsReadInLargerPieces) {
  Batcher batcher({.sessions_max = 4, .rows_max = 10, .rows_of_prompts_max = 50});
  ASSERT_TRUE(batcher.join(kA, Priority::interactive, 1, 60).ok());
  batcher.admit();
  EXPECT_EQ(batcher.plan(), (std::vector<PlannedRead>{{kA, 50}}));
  batcher.set_unread(kA, 10);
  EXPECT_EQ(batcher.plan(), (std::vector<PlannedRead>{{kA, 10}}));
}

TEST(Batcher, AShortPromptIsNotDelayedByALongOne) {
  Batcher batcher({.sessions_max = 4, .rows_max = 10, .rows_of_prompts_max = 50});
  ASSERT_TRUE(batcher.join(kA, Priority::interactive, 1, 1000).ok());
  ASSERT_TRUE(batcher.join(kB, Priority::interactive, 1, 8).ok());
  batcher.admit();
  EXPECT_EQ(batcher.plan(), (std::vector<PlannedRead>{{kB, 8}, {kA, 42}}));
}

TEST(Batcher, InteractivePromptsGoFirst) {
  Batcher batcher({.sessions_max = 1, .waiting_max = 2, .rows_max = 10});
  ASSERT_TRUE(batcher.join(kA, Priority::background, 1, 5).ok());
  ASSERT_TRUE(batcher.join(kB, Priority::background, 1, 5).ok());
  ASSERT_TRUE(batcher.join(kC, Priority::interactive, 1, 5).ok());
  EXPECT_EQ(batcher.join(kD, Priority::interactive, 1, 5).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(batcher.admit(), std::vector{kC});
  batcher.leave(kC);
  EXPECT_EQ(batcher.admit(), std::vector{kA});
  EXPECT_EQ(batcher.waiting(), 1);
}

TEST(Batcher, WaitsForRoomInTheCache) {
  Batcher batcher({.sessions_max = 4, .cache_bytes_max = 100, .rows_max = 10});
  EXPECT_EQ(batcher.join(kA, Priority::interactive, 101, 1).code(), absl::StatusCode::kResourceExhausted);
  ASSERT_TRUE(batcher.join(kA, Priority::interactive, 60, 1).ok());
  ASSERT_TRUE(batcher.join(kB, Priority::interactive, 60, 1).ok());
  ASSERT_TRUE(batcher.join(kC, Priority::interactive, 10, 1).ok());
  EXPECT_EQ(batcher.admit(), std::vector{kA});
  batcher.leave(kA);
  EXPECT_EQ(batcher.admit(), (std::vector{kB, kC}));
  EXPECT_EQ(batcher.cache_bytes(), 70);
}

// Whatever joins and leaves: limits hold, nobody who answers misses a step, and everything ends.
RC_GTEST_PROP(Batcher, EndsWhateverComes, (const std::vector<uint16_t>& prompts)) {
  const BatcherLimits limits{.sessions_max = 4,
                             .waiting_max = 8,
                             .cache_bytes_max = 1000,
                             .rows_max = 12,
                             .rows_of_prompts_max = 40};
  Batcher batcher(limits);
  std::map<uint64_t, int64_t> unread, answers;
  size_t next = 0;
  for (int step = 0; next < prompts.size() || !unread.empty(); ++step) {
    RC_ASSERT(step < 100'000);
    if (next < prompts.size()) {
      const int64_t length = prompts[next] % 300 + 1;
      const auto priority = static_cast<Priority>(prompts[next] % 3);
      if (batcher.join(SessionId{next}, priority, length, length).ok()) unread[next] = length;
      ++next;
    }
    batcher.admit();
    RC_ASSERT(batcher.active() <= limits.sessions_max);
    RC_ASSERT(batcher.active() + batcher.waiting() <= limits.sessions_max + limits.waiting_max);
    RC_ASSERT(batcher.cache_bytes() <= limits.cache_bytes_max);
    int64_t rows = 0;
    for (const PlannedRead& read : batcher.plan()) {
      rows += read.rows;
      int64_t& left = unread.at(read.session.value);
      RC_ASSERT(read.rows >= 1 && read.rows <= left);
      left -= read.rows;
      if (left == 0) left = 1, ++answers[read.session.value];
      batcher.set_unread(read.session, left);
      if (answers[read.session.value] < 5) continue;
      batcher.leave(read.session);
      unread.erase(read.session.value);
    }
    RC_ASSERT(rows <= limits.rows_of_prompts_max);
  }
}

}  // namespace
}  // namespace agora::serve
