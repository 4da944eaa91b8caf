#include "agora/train/trainer_file.h"

#include "agora/base/test_folder.h"
#include "agora/weights/atomic_file.h"
#include <gtest/gtest.h>

namespace agora::train {
namespace {

class TrainerFile : public testing::Test {
 protected:
  static KeptTrainer some_trainer() {
    KeptTrainer kept;
    kept.state.options.minutes = 7;
    kept.state.step = 140;
    kept.state.optimizer_steps = 60;
    kept.state.steps = 900;
    kept.state.cursor = {.state = 5, .increment = 9};
    kept.base.version.round = 7;
    kept.base.values = {1, 2, 3};
    kept.base.momentum = {0, -1, 0.5f};
    kept.rows = 512;
    kept.steps = 4;
    kept.values = {1.5f, 2.5f, 3};
    kept.first = {0.1f, -0.2f};
    kept.second = {0.3f, 0.4f};
    return kept;
  }

  const base::TestFolder folder_;
  const std::string path_ = folder_.path("trainer");
};

TEST_F(TrainerFile, GivesBackWhatWasWritten) {
  EXPECT_TRUE(absl::IsNotFound(read_trainer_file(path_).status()));
  const KeptTrainer kept = some_trainer();
  ASSERT_TRUE(write_trainer_file(path_, {}).ok());
  ASSERT_TRUE(write_trainer_file(path_, kept).ok());
  const auto back = read_trainer_file(path_);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->state.options.minutes, 7);
  EXPECT_EQ(back->state.step, 140);
  EXPECT_EQ(back->state.optimizer_steps, 60);
  EXPECT_EQ(back->state.steps, 900);
  EXPECT_EQ(back->state.cursor, kept.state.cursor);
  EXPECT_EQ(back->base.version, kept.base.version);
  EXPECT_EQ(back->base.values, kept.base.values);
  EXPECT_EQ(back->base.momentum, kept.base.momentum);
  EXPECT_EQ(back->rows, 512u);
  EXPECT_EQ(back->steps, 4u);
  EXPECT_EQ(back->values, kept.values);
  EXPECT_EQ(back->first, kept.first);
  EXPECT_EQ(back->second, kept.second);
}

TEST_F(TrainerFile, RefusesWhatIsTornOrAltered) {
  ASSERT_TRUE(write_trainer_file(path_, some_trainer()).ok());
  const std::string whole = weights::read_file(path_, 1 << 20).value();
  for (size_t length = 0; length < whole.size(); length += whole.size() / 12) {
    ASSERT_TRUE(weights::write_file_atomic(path_, std::string_view(whole).substr(0, length)).ok());
    EXPECT_TRUE(absl::IsDataLoss(read_trainer_file(path_).status())) << length;
  }
  for (const size_t at : {size_t{0}, whole.size() / 2, whole.size() - 1}) {
    std::string altered = whole;
    altered[at] ^= 1;
    ASSERT_TRUE(weights::write_file_atomic(path_, altered).ok());
    EXPECT_TRUE(absl::IsDataLoss(read_trainer_file(path_).status())) << at;
  }
}

// Whole, but not what this program writes.
TEST_F(TrainerFile, RefusesAnotherVersions) {
  std::string bytes = "what another program wrote";
  const weights::Digest hash = weights::sha256(base::as_bytes(bytes));
  bytes += base::as_text(std::as_bytes(std::span(hash)));
  ASSERT_TRUE(weights::write_file_atomic(path_, bytes).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(read_trainer_file(path_).status()));
}

}  // namespace
}  // namespace agora::train
