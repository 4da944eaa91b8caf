#include "apps/cli/swarm/step_failures.h"

#include <gtest/gtest.h>

namespace agora::cli {
namespace {

TEST(StepFailures, ABatchThatIsNoNumberIsSkippedSeveralInARowEndTraining) {
  const Status nan = absl::InvalidArgumentError("the loss is nan");
  StepFailures failures;
  for (int round = 0; round < 3; ++round) {
    for (int i = 1; i < StepFailures::kInvalidInRowMax; ++i) EXPECT_TRUE(failures.goes_on(nan));
    failures.succeeded();
  }
  EXPECT_EQ(failures.count(), 3u * (StepFailures::kInvalidInRowMax - 1));
  for (int i = 1; i < StepFailures::kInvalidInRowMax; ++i) EXPECT_TRUE(failures.goes_on(nan));
  EXPECT_FALSE(failures.goes_on(nan));
}

TEST(StepFailures, ASwarmThatIsAwayMayComeBackOtherErrorsEnd) {
  StepFailures failures;
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(failures.goes_on(absl::UnavailableError("no host")));
  EXPECT_FALSE(failures.goes_on(absl::FailedPreconditionError("another swarm")));
  EXPECT_EQ(failures.count(), 100u);
}

}  // namespace
}  // namespace agora::cli
