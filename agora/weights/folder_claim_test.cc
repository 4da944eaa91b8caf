#include "agora/weights/folder_claim.h"

#include <filesystem>

#include "agora/base/test_folder.h"
#include "agora/weights/atomic_file.h"
#include <gtest/gtest.h>

namespace agora::weights {
namespace {

namespace fs = std::filesystem;
using base::write_text;

bool is_taken(const std::string& dir) { return absl::IsFailedPrecondition(FolderClaim::take(dir).status()); }

TEST(FolderClaim, IsOneWritersUntilItEnds) {
  const base::TestFolder folder;
  for (const bool there : {false, true}) {
    if (there) fs::create_directories(folder.path("runs/7"));
    auto claim = FolderClaim::take(folder.path("runs/7/"));
    ASSERT_TRUE(claim.ok()) << claim.status();
    EXPECT_TRUE(is_free(folder.path("runs/7")));
    EXPECT_TRUE(is_taken(folder.path("runs/7")));
    claim->reset();
    EXPECT_EQ(fs::exists(folder.path("runs/7")), there) << "what it made goes with it";
    EXPECT_FALSE(is_taken(folder.path("runs/7")));
  }
}

TEST(FolderClaim, LeavesWhatIsInIt) {
  const base::TestFolder folder;
  auto claim = FolderClaim::take(folder.path("7"));
  ASSERT_TRUE(claim.ok());
  write_text(folder.path("7/x"), "1");
  claim->reset();
  EXPECT_TRUE(fs::exists(folder.path("7/x")));
}

TEST(FolderClaim, WhatTakesItsPlaceIsNotClaimed) {
  const base::TestFolder folder;
  auto claim = FolderClaim::take(folder.path("7"));
  ASSERT_TRUE(claim.ok());
  auto saved = AtomicFolder::create(folder.path("7"), "/x");
  ASSERT_TRUE(saved.ok());
  write_text((*saved)->path() + "/x", "1");
  ASSERT_TRUE((*saved)->commit().ok());
  saved->reset();
  EXPECT_FALSE(is_taken(folder.path("7")));
  claim->reset();
  EXPECT_TRUE(fs::exists(folder.path("7/x")));
}

TEST(FolderClaim, SaysWhatIsInTheWay) {
  const base::TestFolder folder;
  write_text(folder.path("file"), "");
  EXPECT_TRUE(absl::IsInvalidArgument(FolderClaim::take(folder.path("file")).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(FolderClaim::take(folder.path("file/7")).status()));
  fs::create_symlink(folder.path("nowhere"), folder.path("link"));
  const Status status = FolderClaim::take(folder.path("link")).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_NE(status.message().find("a link to a place where nothing is"), status.message().npos) << status;
}

}  // namespace
}  // namespace agora::weights
