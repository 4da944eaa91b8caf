#include "apps/cli/exit_code.h"

#include <gtest/gtest.h>

namespace agora::cli {
namespace {

TEST(ExitCode, SaysWhoseFaultItWas) {
  EXPECT_EQ(report(absl::OkStatus()), kExitDone);
  EXPECT_EQ(report(absl::InvalidArgumentError("a flag")), kExitBadInput);
  EXPECT_EQ(report(absl::UnavailableError("a peer")), kExitFailed);
}

TEST(ExitCode, AMessageSteersNoTerminal) {
  EXPECT_EQ(message_for_people(absl::UnavailableError("10.0.0.1:4700: \x1b]0;yours\x07 \xff\nend")),
            "10.0.0.1:4700: \\x1b]0;yours\\x07 \\xff\nend");
}

}  // namespace
}  // namespace agora::cli
