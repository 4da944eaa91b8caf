#include "agora/train/task.h"
#include "agora/train/test_images.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace agora::train {
namespace {

using ::testing::HasSubstr;

StatusOr<std::unique_ptr<Task>> task_of(const std::vector<char>& train_labels,
                                        const std::vector<char>& test_labels) {
  const base::TestFolder folder;
  write_images(folder.path(), train_labels, test_labels);
  TrainOptions options;
  options.data = folder.path();
  options.patch = 1;
  return make_image_task(options);
}

TEST(ImageTask, HasTheClassesOfTheTrainingLabels) {
  const auto task = task_of({0, 4}, {3, 0});
  ASSERT_TRUE(task.ok()) << task.status();
  EXPECT_EQ((*task)->shape({}).vocab_size, 5);
}

TEST(ImageTask, RefusesATestLabelThatNoTrainingImageHas) {
  const auto task = task_of({0, 4}, {0, 5});
  EXPECT_THAT(std::string(task.status().message()), HasSubstr("from 0 to 4"));
}

}  // namespace
}  // namespace agora::train
