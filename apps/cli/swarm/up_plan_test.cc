#include "apps/cli/swarm/up_plan.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agora::cli {
namespace {

using ::testing::Contains;
using ::testing::Not;

TEST(UpPlan, HostsFirstThenTrainersThenServers) {
  const std::vector<ChildPlan> plans = plan_children({}, "runs/x", {"127.0.0.1", 4700}, false);
  ASSERT_EQ(plans.size(), 7u);
  EXPECT_EQ(plans[0].name, "host 1");
  EXPECT_EQ(command_of(plans[0]), "host");
  EXPECT_EQ(command_of(plans[4]), "trainer");
  EXPECT_EQ(command_of(plans[6]), "serve");
  for (const ChildPlan& plan : plans) {
    EXPECT_THAT(plan.arguments, Contains("--join=127.0.0.1:4700"));
    EXPECT_THAT(plan.arguments, Contains("--spec=runs/x/spec"));
    EXPECT_THAT(plan.arguments, Contains("--listen=127.0.0.1:0"));
    EXPECT_THAT(plan.arguments, Contains("--json"));
  }
}

TEST(UpPlan, NoTwoShareAState) {
  std::vector<std::string> errors;
  for (const ChildPlan& plan : plan_children({}, "x", {"h", 1}, false)) errors.push_back(plan.error_file);
  std::ranges::sort(errors);
  EXPECT_EQ(std::ranges::adjacent_find(errors), errors.end());
}

TEST(UpPlan, AResumedSwarmGoesOnFromWhatWasSaved) {
  UpFlags flags;
  flags.resume = "x";
  flags.options.data = "texts";
  flags.steps_resumed = 5000;
  EXPECT_THAT(plan_children(flags, "x", {"h", 1}, false)[0].arguments, Not(Contains("--from=x/saved")));
  const std::vector<ChildPlan> plans = plan_children(flags, "x", {"h", 1}, true);
  EXPECT_THAT(plans[0].arguments, Contains("--from=x/saved"));
  EXPECT_THAT(plans[4].arguments, Contains("--resume=x/saved"));
  EXPECT_THAT(plans[4].arguments, Contains("--data=texts"));
  EXPECT_THAT(plans[4].arguments, Contains("--steps=5000"));
}

TEST(UpPlan, EveryProcessHasPortsOfItsOwn) {
  UpFlags flags;
  flags.listen = "[::1]:4700";
  flags.http = "off";
  const std::vector<ChildPlan> plans = plan_children(flags, "x", {"::1", 4700}, false);
  EXPECT_THAT(plans[1].arguments, Contains("--listen=[::1]:0"));
  EXPECT_THAT(plans[1].arguments, Contains("--http=off"));
}

}  // namespace
}  // namespace agora::cli
