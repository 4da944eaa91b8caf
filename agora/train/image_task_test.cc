#include "agora/base/test_folder.h"
#include "agora/train/task.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace agora::train {
namespace {

using base::TestFolder;
using base::write_text;
using ::testing::HasSubstr;

std::string idx(std::string_view dimensions, std::string_view values) {
  std::string bytes = std::string("\0\0\x08", 3) + static_cast<char>(dimensions.size());
  for (const char d : dimensions) bytes += std::string(3, '\0') + d;
  return bytes + std::string(values);
}

// Two images of 2 x 2 pixels in each part, with these labels.
StatusOr<std::unique_ptr<Task>> task_of(std::string_view train_labels, std::string_view test_labels) {
  const TestFolder folder;
  for (const auto& [part, labels] : {std::pair{"train", train_labels}, std::pair{"t10k", test_labels}}) {
    write_text(folder.path(part + std::string("-images-idx3-ubyte")), idx("\x02\x02\x02", "abcdefgh"));
    write_text(folder.path(part + std::string("-labels-idx1-ubyte")), idx("\x02", labels));
  }
  TrainOptions options;
  options.data = folder.path();
  options.patch = 1;
  return make_image_task(options);
}

TEST(ImageTask, HasTheClassesOfTheTrainingLabels) {
  const auto task = task_of(std::string_view("\0\4", 2), std::string_view("\3\0", 2));
  ASSERT_TRUE(task.ok()) << task.status();
  EXPECT_EQ((*task)->shape({}).vocab_size, 5);
}

TEST(ImageTask, RefusesATestLabelThatNoTrainingImageHas) {
  const auto task = task_of(std::string_view("\0\4", 2), std::string_view("\0\5", 2));
  EXPECT_THAT(std::string(task.status().message()), HasSubstr("from 0 to 4"));
}

}  // namespace
}  // namespace agora::train
