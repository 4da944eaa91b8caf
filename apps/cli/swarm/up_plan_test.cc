#include "apps/cli/swarm/up_plan.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "agora/base/test_folder.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agora::cli {
namespace {

using ::testing::Contains;
using ::testing::EndsWith;
using ::testing::HasSubstr;
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

// Whoever forgot it would train on another text, and open a swarm that was closed.
TEST(UpPlan, AResumedSwarmGoesOnWithItsDataAndItsKey) {
  const base::TestFolder data;
  UpFlags first;
  first.options.data = data.path();
  first.swarm_key_file = "lab.key";
  const SwarmPlace place = place_of(first, "words", "runs/words");
  EXPECT_EQ(place.swarm_key_file, std::filesystem::current_path() / "lab.key") << "whence it is resumed";
  UpFlags silent;
  ASSERT_TRUE(resume_place(silent, place).ok());
  EXPECT_EQ(silent.options.data, data.path());
  EXPECT_EQ(silent.swarm_key_file, place.swarm_key_file);

  UpFlags told;
  told.said.data = told.said.swarm_key = true;  // the machine's own text, with everybody
  ASSERT_TRUE(resume_place(told, place).ok());
  EXPECT_EQ(told.options.data, "");
  EXPECT_EQ(told.swarm_key_file, "");

  UpFlags machine;
  ASSERT_TRUE(resume_place(machine, place_of({}, "words", "runs/words")).ok());
  EXPECT_EQ(machine.options.data, "");
}

TEST(UpPlan, DataThatHasGoneIsAskedFor) {
  const base::TestFolder dir;
  const SwarmPlace place{.name = "words", .dir = "runs/words", .data = dir.path("gone")};
  UpFlags flags;
  const Status refused = resume_place(flags, place);
  EXPECT_TRUE(absl::IsNotFound(refused)) << refused;
  EXPECT_THAT(refused.message(), HasSubstr(dir.path("gone")));
  EXPECT_THAT(refused.message(), HasSubstr("--data"));
  flags.said.data = true;
  flags.options.data = "texts";
  EXPECT_TRUE(resume_place(flags, place).ok());
  EXPECT_EQ(flags.options.data, "texts");
}

TEST(UpPlan, AResumedSwarmHasAsManyOfEachAsItHad) {
  const base::TestFolder dir;
  for (const char* name : {"host-1", "host-2", "trainer-1", "trainer-2"}) {
    std::filesystem::create_directory(dir / name);
  }
  UpFlags first;
  first.hosts = 3;
  first.trainers = 1;
  first.servers = 0;
  const SwarmPlace place = place_of(first, "words", dir.path());
  UpFlags silent;
  ASSERT_TRUE(resume_place(silent, place).ok());
  EXPECT_EQ(silent.hosts, 3);
  EXPECT_EQ(silent.trainers, 1);
  EXPECT_EQ(silent.servers, 0);

  UpFlags told;
  told.hosts = 2;
  told.trainers = 0;
  told.servers = 2;
  told.said = {.hosts = true, .trainers = true, .servers = true};
  ASSERT_TRUE(resume_place(told, place).ok());
  EXPECT_EQ(told.hosts, 2);
  EXPECT_EQ(told.trainers, 0);
  EXPECT_EQ(told.servers, 2);
}

TEST(UpPlan, AResumedSwarmHasItsRoomAndItsRows) {
  UpFlags first;
  first.room = 7;
  first.rows = "int8";
  const SwarmPlace place = place_of(first, "words", "x");
  UpFlags silent;
  ASSERT_TRUE(resume_place(silent, place).ok());
  EXPECT_EQ(silent.room, 7);
  EXPECT_EQ(silent.rows, "int8");

  UpFlags told;
  told.said = {.room = true, .rows = true};
  ASSERT_TRUE(resume_place(told, place).ok());
  EXPECT_EQ(told.room, UpFlags().room);
  EXPECT_EQ(told.rows, UpFlags().rows);
  ASSERT_TRUE(resume_place(silent = {}, {.dir = "x"}).ok()) << "an older file does not say it";
  EXPECT_EQ(silent.room, UpFlags().room);
  EXPECT_EQ(silent.rows, UpFlags().rows);
}

TEST(UpPlan, WhereNobodyWroteDownHowManyThereWereFoldersAreCounted) {
  const base::TestFolder dir;
  for (const char* name :
       {"host-1", "host-2", "host-6", "trainer-1", "server-1", "up", "host-7x", "host-999"}) {
    std::filesystem::create_directory(dir / name);
  }
  base::write_text(dir.path("host-9"), "no folder");
  UpFlags flags;
  ASSERT_TRUE(resume_place(flags, {.dir = dir.path()}).ok());
  EXPECT_EQ(flags.hosts, 6);
  EXPECT_EQ(flags.trainers, 1);
  EXPECT_EQ(flags.servers, 1);
}

TEST(UpPlan, NoNumberOfAnotherHandStartsMoreThanThereMayBe) {
  UpFlags flags;
  ASSERT_TRUE(resume_place(flags, {.dir = "x", .started = ProcessCounts{-1, 1'000'000, -1}}).ok());
  EXPECT_EQ(flags.hosts, 1);
  EXPECT_EQ(flags.trainers, kTrainersMax);
  EXPECT_EQ(flags.servers, 0);
}

TEST(UpPlan, AResumedSwarmIsNotStartedWithoutSomeOfItsExperts) {
  const base::TestFolder dir;
  for (int i = 1; i <= 6; ++i) std::filesystem::create_directory(dir / absl::StrCat("host-", i));
  UpFlags flags;
  flags.said.hosts = true;
  const Status refused = resume_place(flags, {.dir = dir.path()});
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(refused.message(), HasSubstr("expected 6 or more"));
  EXPECT_THAT(refused.message(), HasSubstr("found 4"));
  EXPECT_THAT(std::string(refused.message()), EndsWith(dir.path("host-5") + " up to host-6"));
  flags.hosts = 5;
  EXPECT_THAT(std::string(resume_place(flags, {.dir = dir.path()}).message()),
              EndsWith(": " + dir.path("host-6")));
}

TEST(UpPlan, AFolderInWhichNothingRanYetIsAsANewOne) {
  const base::TestFolder dir;
  UpFlags flags;
  ASSERT_TRUE(resume_place(flags, {.dir = dir.path()}).ok());
  EXPECT_EQ(flags.hosts, UpFlags().hosts);
  EXPECT_EQ(flags.trainers, UpFlags().trainers);
  EXPECT_EQ(flags.servers, UpFlags().servers);
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
