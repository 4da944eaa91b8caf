#include "apps/cli/swarm/up_watch.h"

#include "agora/base/test_folder.h"
#include "agora/base/virtual_loop.h"
#include "agora/peers/transport/loopback.h"
#include <gtest/gtest.h>

namespace agora::cli {
namespace {

// Trainers that are shell scripts; who is started again is so when the clock, which stands, has gone on.
class Watch : public ::testing::Test {
 protected:
  explicit Watch(bool respawn = false) : supervisor_({.program = program(), .respawn = respawn}, loop_) {}

  void start(const std::string& script) {
    const ChildPlan plan{.name = "trainer", .arguments = {"trainer", script}, .error_file = ""};
    EXPECT_TRUE(supervisor_.start(plan).ok());
  }
  std::string say(size_t child, const nlohmann::json& line) {
    return watch_.on_event({.child = child, .line = line, .how = ""});
  }
  void wait_for_end(size_t child) {
    while (supervisor_.running(child)) {
      for (const ChildEvent& event : supervisor_.wait(base::kSecondNs)) watch_.on_event(event);
    }
  }
  std::string program() const {
    const std::string file = folder_.path("program");
    base::write_text(file, "#!/bin/sh\nexec /bin/sh -c \"$2\"\n");
    std::filesystem::permissions(file, std::filesystem::perms::owner_all);
    return file;
  }

  base::TestFolder folder_;
  base::VirtualLoop loop_;
  peers::LoopbackTransport transport_{std::make_shared<peers::LoopbackNetwork>(loop_), {}, {"loop", 1}};
  Supervisor supervisor_;
  UpWatch watch_{supervisor_, transport_, "words", "", loop_};
};

class WatchAndRespawn : public Watch {
 protected:
  WatchAndRespawn() : Watch(/*respawn=*/true) {}
};

const nlohmann::json kTrained{{"event", "trained"}, {"step", 15}};
constexpr char kStays[] = "exec sleep 100";
constexpr char kFails[] = "exit 3";

TEST_F(Watch, CountsTheStepsThatTrainersSpeakOf) {
  start(kStays);
  say(0, {{"event", "step"}, {"step", 7}});
  say(0, {{"event", "step"}, {"step", 6}});
  EXPECT_EQ(watch_.steps(), 7);
}

// One that goes on after its last step has nothing else to say.
TEST_F(Watch, KnowsWhatWasTrainedBeforeItBegan) {
  start(kStays);
  EXPECT_EQ(watch_.steps(), 0);
  say(0, kTrained);
  EXPECT_EQ(watch_.steps(), 15);
}

// Its last steps are in no trunk, and what is saved is without them.
TEST_F(Watch, ATrainersTroubleReachesWhoeverLooks) {
  start(kStays);
  const nlohmann::json trouble{{"event", "trouble"}, {"error", "the last 5 steps are in no trunk yet"}};
  EXPECT_EQ(say(0, trouble), "trainer: the last 5 steps are in no trunk yet");
  EXPECT_EQ(watch_.view().troubles,
            std::vector<std::string>{"trainer: the last 5 steps are in no trunk yet"});
  watch_.on_event({.kind = ChildEvent::Kind::respawned, .child = 0, .line = {}, .how = ""});
  EXPECT_TRUE(watch_.view().troubles.empty());
}

// It is to be saved; whose trunk has gone with it is not waited for.
TEST_F(Watch, KnowsTheTrunkWithTheLastSteps) {
  start(kStays);
  start(kFails);
  EXPECT_EQ(watch_.trunk_trained(), swarm::TrunkVersion{});
  say(0, {{"event", "trained"}, {"step", 15}, {"trunk_round", 4}, {"trunk_rows", 700}});
  say(1, {{"event", "trained"}, {"step", 15}, {"trunk_round", 3}, {"trunk_rows", 900}});
  wait_for_end(1);
  EXPECT_EQ(watch_.trunk_trained(), (swarm::TrunkVersion{.round = 4, .rows = 700}));
}

TEST_F(Watch, AllHaveTrainedWhenThoseHaveThatRun) {
  EXPECT_FALSE(watch_.all_trained() || watch_.no_trainer_left()) << "nobody is waited for";
  start(kStays);
  start(kFails);
  wait_for_end(1);
  EXPECT_FALSE(watch_.all_trained());
  say(0, kTrained);
  EXPECT_TRUE(watch_.all_trained());
  EXPECT_FALSE(watch_.no_trainer_left());
  EXPECT_TRUE(watch_.any_unfinished());
}

// Nobody is left to say anything more: whoever waits for a word of theirs would wait for ever.
TEST_F(Watch, NoTrainerIsLeftAlsoWhereAllHadTrained) {
  start(kFails);
  say(0, kTrained);
  wait_for_end(0);
  EXPECT_FALSE(watch_.all_trained());
  EXPECT_TRUE(watch_.no_trainer_left());
  EXPECT_FALSE(watch_.any_unfinished());
}

TEST_F(WatchAndRespawn, WhoIsStartedAgainHasNotTrainedYet) {
  start(kStays);
  start(kFails);
  say(0, kTrained);
  wait_for_end(1);
  EXPECT_FALSE(watch_.all_trained());
  EXPECT_FALSE(watch_.no_trainer_left());
}

TEST_F(WatchAndRespawn, WhoEndsWellIsNotStartedAgain) {
  start("exit 0");
  wait_for_end(0);
  EXPECT_TRUE(watch_.no_trainer_left());
  EXPECT_TRUE(watch_.any_unfinished());
}

}  // namespace
}  // namespace agora::cli
