#include "agora/swarm/host/work_queue.h"

#include "agora/swarm/host/test_calls.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agora::swarm {
namespace {

using peers::Priority;
using testing::ElementsAre;

Work work(int number, Priority priority, int64_t alike = kAlone, int64_t rows = 1, int64_t deadline = 1000) {
  Work w;
  w.call = std::make_shared<FakeCall>(
      FakeCall::Settings{.priority = priority,
                         .deadline_ns = deadline,
                         .payload = peers::Payload::own(std::vector<std::byte>(10))});
  w.rows = rows;
  w.alike = alike;
  w.came_ns = number;
  return w;
}

std::vector<int64_t> numbers(const std::vector<Work>& batch) {
  std::vector<int64_t> result;
  for (const Work& w : batch) result.push_back(w.came_ns);
  return result;
}

TEST(WorkQueue, TheMostUrgentFirstThenTheFirst) {
  WorkQueue queue({});
  ASSERT_TRUE(queue.push(work(1, Priority::background)).ok());
  ASSERT_TRUE(queue.push(work(2, Priority::training)).ok());
  ASSERT_TRUE(queue.push(work(3, Priority::interactive)).ok());
  ASSERT_TRUE(queue.push(work(4, Priority::training)).ok());
  ASSERT_TRUE(queue.push(work(5, Priority::interactive)).ok());
  std::vector<int64_t> order;
  while (queue.calls() > 0) order.push_back(queue.take(0, 100).batch.front().came_ns);
  EXPECT_THAT(order, ElementsAre(3, 5, 2, 4, 1));
  EXPECT_EQ(queue.bytes(), 0u);
  EXPECT_EQ(queue.rows(), 0);
  EXPECT_TRUE(queue.take(0, 100).batch.empty());
}

TEST(WorkQueue, WhatIsAlikeGoesTogetherUpToTheLimit) {
  WorkQueue queue({});
  ASSERT_TRUE(queue.push(work(1, Priority::training, 7, 4)).ok());
  ASSERT_TRUE(queue.push(work(2, Priority::training, 8, 4)).ok());
  ASSERT_TRUE(queue.push(work(3, Priority::training, 7, 4)).ok());
  ASSERT_TRUE(queue.push(work(4, Priority::training, 7, 4)).ok());
  ASSERT_TRUE(queue.push(work(5, Priority::interactive, 7, 1)).ok());
  EXPECT_THAT(numbers(queue.take(0, 10).batch), ElementsAre(5)) << "no company from another priority";
  EXPECT_THAT(numbers(queue.take(0, 10).batch), ElementsAre(1, 3));
  EXPECT_THAT(numbers(queue.take(0, 10).batch), ElementsAre(2));
  EXPECT_THAT(numbers(queue.take(0, 10).batch), ElementsAre(4));
}

TEST(WorkQueue, MoreRowsThanAPassTakesStillGoAlone) {
  WorkQueue queue({});
  ASSERT_TRUE(queue.push(work(1, Priority::training, 7, 400)).ok());
  EXPECT_THAT(numbers(queue.take(0, 10).batch), ElementsAre(1));
}

TEST(WorkQueue, TheLateAndTheAbandonedAreDropped) {
  WorkQueue queue({});
  ASSERT_TRUE(queue.push(work(1, Priority::training, 7, 1, 50)).ok());
  ASSERT_TRUE(queue.push(work(2, Priority::training, 7)).ok());
  Work gone = work(3, Priority::training, 7);
  static_cast<FakeCall&>(*gone.call).abandon();
  ASSERT_TRUE(queue.push(std::move(gone)).ok());
  const WorkQueue::Taken taken = queue.take(50, 10);
  EXPECT_THAT(numbers(taken.batch), ElementsAre(2));
  EXPECT_THAT(numbers(taken.dropped), ElementsAre(1, 3));
  EXPECT_EQ(queue.calls(), 0u);
}

TEST(WorkQueue, BeyondItsLimitsCallersBackOff) {
  WorkQueue calls({.calls_max = 2});
  ASSERT_TRUE(calls.push(work(1, Priority::training)).ok());
  ASSERT_TRUE(calls.push(work(2, Priority::training)).ok());
  EXPECT_EQ(calls.push(work(3, Priority::interactive)).code(), absl::StatusCode::kResourceExhausted);
  calls.take(0, 1);
  EXPECT_TRUE(calls.push(work(4, Priority::training)).ok());

  WorkQueue bytes({.calls_max = 10, .bytes_max = 25});
  ASSERT_TRUE(bytes.push(work(1, Priority::training)).ok());
  ASSERT_TRUE(bytes.push(work(2, Priority::training)).ok());
  EXPECT_EQ(bytes.push(work(3, Priority::training)).code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace agora::swarm
