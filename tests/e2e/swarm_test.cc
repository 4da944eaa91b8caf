// A swarm of real processes: it starts, answers, and goes on when one of them is killed or frozen.
#include <signal.h>

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/small_run.h"
#include "tests/e2e/swarm_harness.h"

namespace agora::e2e {
namespace {

using nlohmann::json;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kSomeSteps = 5;
constexpr size_t kExperts = 2 * 4;  // of small_train: layers times experts

// Every expert has a leader that lives.
bool covered(const SwarmUnderTest& swarm) {
  const json experts = swarm.ask_json({"experts"});
  if (!experts.is_array() || experts.size() != kExperts) return false;
  return std::ranges::all_of(experts, [](const json& expert) { return !expert.at("leader").is_null(); });
}

TEST(Swarm, StartsTrainsAnswersAndEndsInGoodOrder) {
  SwarmUnderTest swarm({.hosts = 4, .trainers = 2, .servers = 1, .steps = 40, .more = {"--replicas", "2"}});
  measured("from start to the first steps", swarm.wait_until("training", [&] {
    return swarm.step_of("trainer 1") > 0 && swarm.step_of("trainer 2") > 0;
  }));
  swarm.wait_until("the end of training", [&] { return swarm.last("summary").has_value(); });

  const json peers = swarm.ask_json({"peers"});
  ASSERT_TRUE(peers.is_array());
  EXPECT_EQ(peers.size(), 8u) << "with agora up itself";
  EXPECT_TRUE(covered(swarm));

  const Outcome answer = swarm.ask("apple of", {"--tokens", "20", "--seed", "4"});
  ASSERT_EQ(answer.exit_code, 0) << answer.err;
  const json first = json::parse(answer.out);
  EXPECT_EQ(first.at("tokens"), 20);
  EXPECT_EQ(json::parse(swarm.ask("apple of", {"--tokens", "20", "--seed", "4"}).out).at("answer"),
            first.at("answer"));
  const json trace = swarm.ask_json({"trace", first.at("request").get<std::string>()});
  EXPECT_GE(trace.size(), 2u) << "a server and a host at least";

  const Outcome end = swarm.end();
  EXPECT_EQ(end.exit_code, 0) << end.err;
  EXPECT_THAT(end.out, HasSubstr("\"event\":\"done\""));
  const Outcome offline = run_agora({"ask", swarm.dir() + "/saved", "apple of", "--tokens", "5"});
  EXPECT_EQ(offline.exit_code, 0) << offline.err;
}

TEST(Swarm, GoesOnWhenAHostIsKilled) {
  SwarmUnderTest swarm({.hosts = 3});
  swarm.wait_until_training();
  swarm.wait_until("every expert leads", [&] { return covered(swarm); });
  swarm.signal("host 2", SIGKILL);
  measured("kill -9 of a host, until the trainer makes steps", swarm.wait_for_steps("trainer 1", kSomeSteps));
  measured("kill -9 of a host, until every expert has a leader",
           swarm.wait_until("every expert leads again", [&] { return covered(swarm); }));
  EXPECT_THAT(swarm.running(), Not(Contains("host 2")));
  EXPECT_EQ(swarm.ask("apple", {"--tokens", "5"}).exit_code, 0);
}

TEST(Swarm, GoesOnWhenAHostStands) {
  SwarmUnderTest swarm({.hosts = 3});
  swarm.wait_until_training();
  swarm.signal("host 1", SIGSTOP);
  measured("SIGSTOP of a host, until the trainer makes steps", swarm.wait_for_steps("trainer 1", kSomeSteps));
  swarm.signal("host 1", SIGCONT);
  measured("SIGCONT, until the trainer makes steps", swarm.wait_for_steps("trainer 1", kSomeSteps));
}

TEST(Swarm, GoesOnWhenATrainerIsKilled) {
  SwarmUnderTest swarm({.hosts = 2, .trainers = 2});
  swarm.wait_until("both train",
                   [&] { return swarm.step_of("trainer 1") > 0 && swarm.step_of("trainer 2") > 0; });
  swarm.signal("trainer 1", SIGKILL);
  measured("kill -9 of a trainer, until the other makes steps",
           swarm.wait_for_steps("trainer 2", kSomeSteps));
}

TEST(Swarm, AnotherServerAnswersWhenOneIsKilled) {
  SwarmUnderTest swarm({.hosts = 2, .trainers = 1, .servers = 2});
  swarm.wait_until_training();
  swarm.wait_until("an answer", [&] { return swarm.ask("apple", {"--tokens", "3"}).exit_code == 0; });
  swarm.signal("server 1", SIGKILL);
  measured("kill -9 of a server, until an answer", swarm.wait_until("an answer", [&] {
    return swarm.ask("apple", {"--tokens", "3"}).exit_code == 0;
  }));
}

TEST(Swarm, TheFirstPeerIsNotNeeded) {
  SwarmUnderTest swarm({.hosts = 2});
  swarm.wait_until_training();
  const std::string host = swarm.at("host 2");
  const json peers = json::parse(run_agora({"peers", "--join", host, "--json"}).out, nullptr, false);
  ASSERT_TRUE(peers.is_array());
  EXPECT_EQ(peers.size(), 5u);
}

TEST(Swarm, EndsInGoodOrderWhileItTrains) {
  SwarmUnderTest swarm({.hosts = 2});
  swarm.wait_until_training();
  const Outcome end = swarm.end();
  EXPECT_EQ(end.exit_code, 0) << end.err;
  EXPECT_THAT(end.out, HasSubstr("\"event\":\"saved\""));
  EXPECT_THAT(end.out, HasSubstr("\"event\":\"done\""));
}

TEST(Swarm, GoesOnFromWhatWasSaved) {
  const ScratchFolder scratch;
  std::string dir;
  int64_t step = 0;
  {
    SwarmUnderTest swarm({.hosts = 2});
    swarm.wait_until_training();
    ASSERT_EQ(swarm.end().exit_code, 0);
    step = swarm.step_of("trainer 1");
    std::filesystem::rename(swarm.dir(), scratch / "run");
    std::filesystem::rename(swarm.dir() + "/../data", scratch / "data");
  }
  Process again =
      Process::start({"up", "--resume", (scratch / "run").string(), "--data", (scratch / "data").string(),
                      "--hosts", "2", "--trainers", "1", "--servers", "0", "--json"},
                     scratch);
  ASSERT_TRUE(again.wait_for_output("\"event\":\"step\""));
  again.interrupt();
  const Outcome outcome = again.finish();
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  const size_t at = outcome.out.find("\"event\":\"step\"");
  const std::string line = outcome.out.substr(at, outcome.out.find('\n', at) - at);
  const size_t number = line.find("\"step\":", 14) + 7;
  EXPECT_GE(std::stoll(line.substr(number)), step);
}

}  // namespace
}  // namespace agora::e2e
