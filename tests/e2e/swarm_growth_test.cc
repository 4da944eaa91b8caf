// Experts of a swarm of real processes come and go while it trains and answers.
#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/swarm_harness.h"

namespace agora::e2e {
namespace {

using nlohmann::json;

constexpr int kLayers = 2, kExperts = 4;  // of small_train

// What `agora experts` says of one; null: it is not there.
json expert_of(const SwarmUnderTest& swarm, int layer, int expert) {
  for (const json& row : swarm.ask_json({"experts"})) {
    if (row.at("layer") == layer && row.at("expert") == expert) return row;
  }
  return nullptr;
}

bool asked(const json& expert) {
  return expert.is_object() && !expert.at("leader").is_null() && expert.at("rows_per_s") > 1.0;
}

// Every look at the swarm goes with a question, and none may fail.
double wait_and_ask(SwarmUnderTest& swarm, const std::string& what, const std::function<bool()>& is_so) {
  return swarm.wait_until(what, [&] {
    const Outcome answer = swarm.ask("apple", {"--tokens", "4"});
    EXPECT_EQ(answer.exit_code, 0) << what << ": " << answer.err;
    return is_so();
  });
}

TEST(SwarmGrowth, ExpertsAreAddedAndRetiredWhileItTrainsAndAnswers) {
  // Without validations no newcomer is undone: with so small a model that is a matter of luck. That it is
  // undone where it should be, tests/swarm/growth_test.cc shows.
  SwarmUnderTest swarm({.hosts = 2, .more = {"--replicas", "2", "--validate-every", "1000000"}});
  swarm.wait_until_training();
  swarm.wait_until("a trunk", [&] { return swarm.ask("apple", {"--tokens", "1"}).exit_code == 0; });

  const json warm = swarm.ask_json({"expert", "add", "--from", "busiest"});
  ASSERT_EQ(warm.size(), static_cast<size_t>(kLayers)) << warm;
  EXPECT_EQ(warm[0].at("expert"), kExperts);
  const json cold = swarm.ask_json({"expert", "add", "--layer", "1"});
  ASSERT_EQ(cold.size(), 1u) << cold;
  EXPECT_EQ(cold[0].at("expert"), kExperts + 1);
  measured("agora expert add, until every new expert is asked",
           wait_and_ask(swarm, "new experts are asked", [&] {
             return asked(expert_of(swarm, 0, kExperts)) && asked(expert_of(swarm, 1, kExperts)) &&
                    asked(expert_of(swarm, 1, kExperts + 1));
           }));

  EXPECT_EQ(swarm.run({"expert", "retire", "--layer", "0", "--expert", "1"}).exit_code, 0);
  measured("agora expert retire, until nobody holds it",
           wait_and_ask(swarm, "it is gone", [&] { return expert_of(swarm, 0, 1).is_null(); }));
  swarm.wait_for_steps("trainer 1", 20);

  const Outcome end = swarm.end();
  EXPECT_EQ(end.exit_code, 0) << end.err;
  const std::string saved = swarm.dir() + "/saved";
  const json config = json::parse(read_file(saved + "/config.json"), nullptr, false);
  EXPECT_EQ(config.at("num_experts"), kExperts + 2) << "of the layer that has most";
  const json manifest = json::parse(read_file(saved + "/manifest.json"), nullptr, false);
  EXPECT_EQ(manifest.at("experts").size(), static_cast<size_t>(kLayers * kExperts + 2));
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"ask", saved, "apple of", "--tokens", "5"}, {"inspect", saved}}) {
    const Outcome offline = run_agora(command);
    EXPECT_EQ(offline.exit_code, 0) << offline.err;
  }
}

}  // namespace
}  // namespace agora::e2e
