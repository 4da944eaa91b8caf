#include "apps/cli/training_run.h"

#include <filesystem>

#include "agora/base/test_folder.h"
#include <gtest/gtest.h>

namespace agora::cli {
namespace {

namespace fs = std::filesystem;

// Runs are saved under the folder that the program is in.
class NewFolder : public testing::Test {
 protected:
  NewFolder() { fs::current_path(scratch_.path()); }
  ~NewFolder() override { fs::current_path(before_); }

  const fs::path before_ = fs::current_path();
  base::TestFolder scratch_;
};

TEST_F(NewFolder, IsOfOneRunAlsoBeforeItIsSaved) {
  auto first = new_folder("x");
  auto second = new_folder("x");
  ASSERT_TRUE(first.ok() && second.ok()) << first.status() << second.status();
  EXPECT_EQ((*first)->path(), "runs/x");
  EXPECT_EQ((*second)->path(), "runs/x-2");
  base::write_text("runs/x-2/training_state.json", "saved");
  second->reset();
  EXPECT_EQ(new_folder("x").value()->path(), "runs/x-3");
}

TEST_F(NewFolder, OfARunThatWasNeverSavedIsUsedAgain) {
  { ASSERT_TRUE(new_folder("x").ok()); }
  EXPECT_FALSE(fs::exists("runs/x"));
  fs::create_directories("runs/x");  // as a process leaves it that is killed
  EXPECT_EQ(new_folder("x").value()->path(), "runs/x");
  EXPECT_TRUE(fs::exists("runs/x"));
}

}  // namespace
}  // namespace agora::cli
