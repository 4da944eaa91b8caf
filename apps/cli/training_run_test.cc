#include "apps/cli/training_run.h"

#include <filesystem>

#include "agora/base/test_folder.h"
#include "agora/train/test_images.h"
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

TEST_F(NewFolder, IsNotLookedForForEverWhereNoneCanBe) {
  fs::create_symlink("runs", "runs");  // leads to itself
  const Status loop = new_folder("x").status();
  EXPECT_TRUE(absl::IsInvalidArgument(loop)) << loop;
  fs::remove("runs");
  const Status too_long = new_folder(std::string(300, 'n')).status();
  EXPECT_TRUE(absl::IsInvalidArgument(too_long)) << too_long;
}

TEST_F(NewFolder, PassesOverWhatIsNoFolder) {
  base::write_text("runs/x", "a file");
  EXPECT_EQ(new_folder("x").value()->path(), "runs/x-2");
}

TEST(ResumeRun, RefusesClassesThatTheModelLacks) {
  const base::TestFolder scratch;
  train::write_images(scratch.path("two"), {0, 1}, {1, 0});
  train::write_images(scratch.path("three"), {0, 2}, {1, 0});
  train::TrainOptions options;
  options.task = "images";
  options.data = scratch.path("two");
  options.out = scratch.path("run");
  options.patch = 1;
  options.layers = 1;
  options.width = 8;
  options.heads = 1;
  options.experts = 2;
  options.hidden = 8;
  Machine machine(1);
  const auto task = train::make_task(options, nullptr, machine.pool());
  ASSERT_TRUE(task.ok()) << task.status();
  const Interrupt at_once = true;
  const RunView view{.summary = false};
  ASSERT_TRUE(start_run(options, machine, **task, view, at_once).ok());
  EXPECT_TRUE(resume_run(options.out, {}, view, at_once).ok());
  options.data = scratch.path("three");
  EXPECT_TRUE(absl::IsInvalidArgument(resume_run(options.out, options, view, at_once).status()));
}

}  // namespace
}  // namespace agora::cli
