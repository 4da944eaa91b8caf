#include "apps/cli/swarm/state_folder.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <thread>

#include "agora/base/test_folder.h"
#include <gtest/gtest.h>

namespace agora::cli {
namespace {

TEST(StateFolder, BelongsToOneAtATime) {
  const base::TestFolder scratch;
  const std::string dir = scratch.path("deep/state");
  std::optional<StateFolder> folder;
  {
    StatusOr<StateFolder> first = StateFolder::open(dir);
    ASSERT_TRUE(first.ok()) << first.status();
    EXPECT_TRUE(absl::IsFailedPrecondition(StateFolder::open(dir).status()));
    folder = *std::move(first);
  }
  EXPECT_TRUE(absl::IsFailedPrecondition(StateFolder::open(dir).status())) << "a move keeps it";
  folder.reset();
  EXPECT_TRUE(StateFolder::open(dir).ok());
}

TEST(StateFolder, WhoIsEndingIsWaitedFor) {
  const base::TestFolder scratch;
  const std::string dir = scratch.path("state");
  auto ending = std::make_unique<StatusOr<StateFolder>>(StateFolder::open(dir));
  ASSERT_TRUE(ending->ok());
  std::thread end([&] { ending.reset(); });
  EXPECT_TRUE(StateFolder::open(dir, int64_t{60} * 1'000'000'000).ok());
  end.join();
}

// A machine whose clock goes back must not repeat a run: hosts would take its updates for applied.
TEST(StateFolder, RunsAscendWhateverTheClockSays) {
  const base::TestFolder scratch;
  const std::string dir = scratch.path("state");
  std::filesystem::create_directories(dir);
  EXPECT_EQ(next_run(dir, 1000).value(), 1000u);
  EXPECT_EQ(next_run(dir, 400).value(), 1001u);
  EXPECT_EQ(next_run(dir, 400).value(), 1002u);
  EXPECT_EQ(next_run(dir, 2000).value(), 2000u);
  std::filesystem::remove_all(dir);
  EXPECT_FALSE(next_run(dir, 3000).ok()) << "what can not be kept is not given";
}

TEST(StateFolder, SaysWhatIsInTheWay) {
  EXPECT_TRUE(absl::IsInvalidArgument(StateFolder::open("/dev/null/state").status()));
}

}  // namespace
}  // namespace agora::cli
