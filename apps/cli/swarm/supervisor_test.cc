#include "apps/cli/swarm/supervisor.h"

#include <signal.h>

#include <deque>

#include "agora/base/loop.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agora::cli {
namespace {

constexpr int64_t kLongNs = 30 * base::kSecondNs;

class Swarm : public ::testing::Test {
 protected:
  void start(Supervisor& supervisor, const std::string& script) {
    ASSERT_TRUE(supervisor.start({.name = "child", .arguments = {"-c", script}, .error_file = ""}).ok());
  }
  // The next event of this kind; those before it are gone.
  ChildEvent wait_for(Supervisor& supervisor, ChildEvent::Kind kind) {
    while (true) {
      for (; !events_.empty(); events_.pop_front()) {
        if (events_.front().kind != kind) continue;
        ChildEvent event = std::move(events_.front());
        events_.pop_front();
        return event;
      }
      for (ChildEvent& event : supervisor.wait(kLongNs)) events_.push_back(std::move(event));
    }
  }
  std::deque<ChildEvent> events_;
  RealClock clock_;
};

TEST_F(Swarm, GivesWhatTheChildrenSay) {
  Supervisor supervisor({.program = "/bin/sh"}, clock_);
  start(supervisor, R"(echo 'no json'; echo '{"event":"up"}'; exec sleep 100)");
  const ChildEvent event = wait_for(supervisor, ChildEvent::Kind::said);
  EXPECT_EQ(event.line.at("event"), "up");
  EXPECT_TRUE(supervisor.running(0));
}

TEST_F(Swarm, SaysHowAChildEndedAndStartsNothingByItself) {
  Supervisor supervisor({.program = "/bin/sh"}, clock_);
  start(supervisor, "echo '{}'; exit 3");
  wait_for(supervisor, ChildEvent::Kind::said);
  EXPECT_EQ(wait_for(supervisor, ChildEvent::Kind::ended).how, "ended with 3");
  EXPECT_FALSE(supervisor.running(0));
}

TEST_F(Swarm, StartsAgainWhatEndedBadlyIfAsked) {
  Supervisor supervisor({.program = "/bin/sh", .respawn = true}, clock_);
  start(supervisor, "exec sleep 100");
  const pid_t first = supervisor.pid(0);
  supervisor.signal(0, SIGKILL);
  wait_for(supervisor, ChildEvent::Kind::respawned);
  EXPECT_NE(supervisor.pid(0), first);
  EXPECT_TRUE(supervisor.running(0));
}

TEST_F(Swarm, EndsThoseThatEndWhenAsked) {
  Supervisor supervisor({.program = "/bin/sh"}, clock_);
  start(supervisor,
        R"(trap 'echo "{\"event\":\"left\"}"; exit 0' INT; echo '{}'; while :; do sleep 0.01; done)");
  wait_for(supervisor, ChildEvent::Kind::said);
  std::vector<std::string> words;
  EXPECT_TRUE(supervisor.end({0}, kLongNs, [&](const ChildEvent& event) {
    if (event.kind == ChildEvent::Kind::said) words.push_back(event.line.at("event"));
  }));
  EXPECT_THAT(words, ::testing::ElementsAre("left"));
}

TEST_F(Swarm, KillsThoseThatDoNot) {
  Supervisor supervisor({.program = "/bin/sh"}, clock_);
  start(supervisor, "trap '' INT; echo '{}'; while :; do sleep 0.01; done");
  wait_for(supervisor, ChildEvent::Kind::said);
  EXPECT_FALSE(supervisor.end({0}, 100 * base::kMillisecondNs, [](const ChildEvent&) {}));
}

}  // namespace
}  // namespace agora::cli
