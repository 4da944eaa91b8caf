#include "apps/cli/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agora::cli {
namespace {

TEST(Machine, HasTheThreadsThatItIsToldToHave) {
  EXPECT_EQ(Machine(3).pool().threads(), 3);
  EXPECT_EQ(Machine(0).pool().threads(), base::processors_available());
  EXPECT_TRUE(Machine(2).compute("f32").ok());
}

TEST(Machine, RefusesThreadsThatCanNotBe) {
  for (const int threads : {-1, 1025, 99999}) {
    const Status status = Machine(threads).compute("bf16").status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("--threads: expected 0 (all) to 1024"));
  }
}

}  // namespace
}  // namespace agora::cli
