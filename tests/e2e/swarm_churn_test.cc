// Hosts that are killed and started again, one after the other, on real processes. Five minutes of it, with
// the loss beside that of a quiet swarm: recipes/swarm/churn.
#include <signal.h>

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/e2e/swarm_harness.h"

namespace agora::e2e {
namespace {

using nlohmann::json;

constexpr size_t kExperts = 2 * 4;  // of small_train: layers times experts
constexpr int kHosts = 3;

// Every expert has a leader and a follower.
bool replicated(const SwarmUnderTest& swarm) {
  const json experts = swarm.ask_json({"experts"});
  if (!experts.is_array() || experts.size() != kExperts) return false;
  return std::ranges::all_of(experts, [](const json& expert) {
    return !expert.at("leader").is_null() && expert.at("replicas").size() >= 2;
  });
}

// Over all peers that answer now.
double sum_of(const SwarmUnderTest& swarm, const std::string& metric) {
  double sum = 0;
  for (const json& peer : swarm.ask_json({"peers"})) sum += peer.at("metrics").value(metric, 0.0);
  return sum;
}

// Also what `agora up --respawn` is for: the host comes back under its name, with its key and its disk.
TEST(SwarmChurn, NoExpertIsLostWhileHostsAreKilledAndStartAgain) {
  SwarmUnderTest swarm({.hosts = kHosts, .more = {"--replicas", "2", "--respawn"}});
  swarm.wait_until_training();
  for (int round = 0; round < 4; ++round) {
    measured("until every expert has two replicas",
             swarm.wait_until("two replicas of each", [&] { return replicated(swarm); }));
    EXPECT_EQ(sum_of(swarm, "agora_experts_lost_total"), 0) << "round " << round;
    const std::string host = "host " + std::to_string(round % kHosts + 1);
    const int64_t pid = swarm.pid_of(host);
    swarm.signal(host, SIGKILL);
    measured("kill -9 of " + host + ", until 50 more steps", swarm.wait_for_steps("trainer 1", 50));
    measured("until it has been started again",
             swarm.wait_until("it is back", [&] { return swarm.pid_of(host) != pid; }));
  }
  swarm.wait_until("two replicas of each", [&] { return replicated(swarm); });
  EXPECT_EQ(sum_of(swarm, "agora_experts_lost_total"), 0);
  const auto line = swarm.last("step", "trainer 1");
  ASSERT_TRUE(line.has_value());
  EXPECT_LT(line->at("loss").get<double>(), 3.0) << "of 256 bytes: what was learned is still there";
}

}  // namespace
}  // namespace agora::e2e
