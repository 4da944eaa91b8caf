#include "agora/swarm/trunk_file.h"

#include <filesystem>

#include "agora/weights/atomic_file.h"
#include <gtest/gtest.h>

namespace agora::swarm {
namespace {

class TrunkFile : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }

  const std::string path_ = testing::TempDir() + "agora-trunk-file-test";
};

TEST_F(TrunkFile, GivesBackWhatWasWritten) {
  EXPECT_TRUE(absl::IsNotFound(read_trunk_file(path_).status()));
  TrunkSnapshot snapshot;
  snapshot.version.round = 7;
  snapshot.step = 140;
  snapshot.values = {1, 2, 3};
  snapshot.momentum = {0, -1, 0.5f};
  ASSERT_TRUE(write_trunk_file(path_, {}).ok());
  ASSERT_TRUE(write_trunk_file(path_, snapshot).ok());
  const auto back = read_trunk_file(path_);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->version, snapshot.version);
  EXPECT_EQ(back->step, 140u);
  EXPECT_EQ(back->values, snapshot.values);
  EXPECT_EQ(back->momentum, snapshot.momentum);
}

TEST_F(TrunkFile, RefusesWhatIsTornOrAltered) {
  TrunkSnapshot snapshot;
  snapshot.values = {1, 2, 3};
  ASSERT_TRUE(write_trunk_file(path_, snapshot).ok());
  const std::string whole = weights::read_file(path_, 1 << 20).value();
  for (size_t length = 0; length < whole.size(); ++length) {
    ASSERT_TRUE(weights::write_file_atomic(path_, std::string_view(whole).substr(0, length)).ok());
    EXPECT_TRUE(absl::IsDataLoss(read_trunk_file(path_).status())) << length;
  }
  for (const size_t at : {size_t{0}, whole.size() / 2, whole.size() - 1}) {
    std::string altered = whole;
    altered[at] ^= 1;
    ASSERT_TRUE(weights::write_file_atomic(path_, altered).ok());
    EXPECT_TRUE(absl::IsDataLoss(read_trunk_file(path_).status())) << at;
  }
}

}  // namespace
}  // namespace agora::swarm
