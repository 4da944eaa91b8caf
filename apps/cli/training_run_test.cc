#include "apps/cli/training_run.h"

#include <filesystem>

#include "agora/base/test_folder.h"
#include "agora/train/test_images.h"
#include <gtest/gtest.h>

namespace agora::cli {
namespace {

namespace fs = std::filesystem;

// In a folder of its own, for a test.
class InScratch : public testing::Test {
 protected:
  InScratch() { fs::current_path(scratch_.path()); }
  ~InScratch() override { fs::current_path(before_); }

  const fs::path before_ = fs::current_path();
  base::TestFolder scratch_;
};

using NewFolder = InScratch;  // runs are saved under the folder that the program is in

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

// One layer that learns images of two classes; the folders are in this one.
class SmallRun : public InScratch {
 protected:
  SmallRun() {
    train::write_images("two", {0, 1}, {1, 0});
    options_.task = "images";
    options_.data = scratch_.path("two");
    options_.patch = 1;
    options_.layers = 1;
    options_.width = 8;
    options_.heads = 1;
    options_.experts = 2;
    options_.hidden = 8;
  }
  StatusOr<RunResult> start(const Interrupt& interrupt) {
    Machine machine(1);
    const auto task = train::make_task(options_, nullptr, machine.pool());
    return task.ok() ? start_run(options_, machine, **task, view_, interrupt) : task.status();
  }

  train::TrainOptions options_;
  const RunView view_{.summary = false};
  const Interrupt at_once_ = true, never_ = false;
};

TEST_F(SmallRun, IsNotResumedWithClassesThatTheModelLacks) {
  train::write_images("three", {0, 2}, {1, 0});
  options_.out = "run";
  ASSERT_TRUE(start(at_once_).ok());
  EXPECT_TRUE(resume_run("run", {}, view_, at_once_).ok());
  options_.data = scratch_.path("three");
  EXPECT_TRUE(absl::IsInvalidArgument(resume_run("run", options_, view_, at_once_).status()));
}

TEST_F(SmallRun, IsSavedMoreThanOnceWhereTheProgramStands) {
  fs::create_directory("run");
  fs::current_path("run");
  options_.out = ".";
  options_.steps = 3;
  options_.batch = 2;
  options_.save_every = 1;
  const StatusOr<RunResult> begun = start(never_);
  ASSERT_TRUE(begun.ok()) << begun.status();
  EXPECT_EQ(begun->dir, fs::canonical(scratch_.path("run")));
  fs::current_path(scratch_.path("run"));  // as the shell has to: the one before was replaced
  options_.steps = 6;
  const StatusOr<RunResult> resumed = resume_run(".", options_, view_, never_);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(resumed->steps, 6);
}

}  // namespace
}  // namespace agora::cli
