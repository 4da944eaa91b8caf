#include "apps/cli/flag_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agora::cli {
namespace {

using ::testing::HasSubstr;

class Flags : public ::testing::Test {
 protected:
  Flags() {
    app_.add_option("--room", number_)->check(above_zero());
    app_.add_option("--wait", number_)->check(seconds_above_zero());
    app_.add_option("--leave", number_)->check(seconds_from_zero());
  }
  std::string refused(const std::string& flag, const std::string& value) {
    try {
      app_.parse(std::vector<std::string>{value, flag});
    } catch (const CLI::ParseError& error) {
      return error.what();
    }
    return "";
  }

  CLI::App app_;
  double number_ = 0;
};

TEST_F(Flags, NumbersAreAboveZero) {
  EXPECT_EQ(refused("--room", "3"), "");
  for (const char* wrong : {"0", "-1", "x", "nan"}) {
    EXPECT_THAT(refused("--room", wrong), HasSubstr("--room: expected a number above 0, found")) << wrong;
  }
}

TEST_F(Flags, SecondsHaveAnEnd) {
  EXPECT_EQ(refused("--wait", "0.5"), "");
  EXPECT_EQ(refused("--wait", "1e8"), "");
  EXPECT_EQ(refused("--leave", "0"), "");
  for (const char* wrong : {"inf", "nan", "1e10", "-1", "x"}) {
    EXPECT_THAT(refused("--wait", wrong), HasSubstr("--wait: expected seconds above 0, at most 1e8, found"))
        << wrong;
    EXPECT_THAT(refused("--leave", wrong), HasSubstr("--leave: expected seconds from 0")) << wrong;
  }
  EXPECT_THAT(refused("--wait", "0"), HasSubstr("at most 1e8"));
}

}  // namespace
}  // namespace agora::cli
