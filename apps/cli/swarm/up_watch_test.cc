#include "apps/cli/swarm/up_watch.h"

#include "agora/base/virtual_loop.h"
#include "agora/peers/transport/loopback.h"
#include <gtest/gtest.h>

namespace agora::cli {
namespace {

class Watch : public ::testing::Test {
 protected:
  Watch() {
    const ChildPlan plan{.name = "trainer 1", .arguments = {"-c", "exec sleep 100"}, .error_file = ""};
    EXPECT_TRUE(supervisor_.start(plan).ok());
  }
  void say(const nlohmann::json& line) { watch_.on_event({.child = 0, .line = line, .how = ""}); }

  RealClock clock_;
  base::VirtualLoop loop_;
  peers::LoopbackTransport transport_{std::make_shared<peers::LoopbackNetwork>(loop_), {}, {"loop", 1}};
  Supervisor supervisor_{{.program = "/bin/sh"}, clock_};
  UpWatch watch_{supervisor_, transport_, "words", "", clock_};
};

TEST_F(Watch, CountsTheStepsThatTrainersSpeakOf) {
  say({{"event", "step"}, {"step", 7}});
  say({{"event", "step"}, {"step", 6}});
  EXPECT_EQ(watch_.steps(), 7);
}

// One that goes on after its last step has nothing else to say.
TEST_F(Watch, KnowsWhatWasTrainedBeforeItBegan) {
  EXPECT_EQ(watch_.steps(), 0);
  say({{"event", "trained"}, {"step", 15}});
  EXPECT_EQ(watch_.steps(), 15);
}

}  // namespace
}  // namespace agora::cli
