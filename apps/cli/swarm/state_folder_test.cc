#include "apps/cli/swarm/state_folder.h"

#include <filesystem>
#include <optional>

#include <gtest/gtest.h>

namespace agora::cli {
namespace {

TEST(StateFolder, BelongsToOneAtATime) {
  const std::string dir = ::testing::TempDir() + "agora-state-folder-test/deep";
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
  std::filesystem::remove_all(::testing::TempDir() + "agora-state-folder-test");
}

TEST(StateFolder, SaysWhatIsInTheWay) {
  EXPECT_TRUE(absl::IsInvalidArgument(StateFolder::open("/dev/null/state").status()));
}

}  // namespace
}  // namespace agora::cli
