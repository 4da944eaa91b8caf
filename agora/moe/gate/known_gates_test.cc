// Every open checkpoint's order of work against numbers worked out by hand, on gates cut down to a few
// experts. The router is the identity, so that a token's row is its logits.
#include "agora/moe/gate/known_gates.h"

#include <cmath>
#include <vector>

#include "agora/moe/gate/gate.h"
#include "agora/moe/test_support.h"
#include <gtest/gtest.h>

namespace agora::moe {
namespace {

struct Case {
  std::string model_type;
  std::vector<float> logits;
  int64_t chosen;
  std::vector<int32_t> experts;
  std::vector<float> weights;
  std::vector<float> selection_bias = {};
  std::vector<float> linear_bias = {};
  int64_t groups = 1;
  int64_t groups_chosen = 1;
};

std::vector<float> logs(std::vector<float> odds) {
  for (float& v : odds) v = std::log(v);
  return odds;
}

// Logits whose sigmoids are p.
std::vector<float> logits_of(std::vector<float> p) {
  for (float& v : p) v = std::log(v / (1.0f - v));
  return p;
}

void check(const Case& c) {
  SCOPED_TRACE(c.model_type);
  const KnownGate* known = find_known_gate(c.model_type);
  ASSERT_NE(known, nullptr);
  GateDescriptor descriptor = known->descriptor;
  const auto experts = static_cast<int64_t>(c.logits.size());
  descriptor.experts = experts;
  descriptor.chosen = c.chosen;
  descriptor.groups = c.groups;
  descriptor.groups_chosen = c.groups_chosen;
  TestCompute machine;
  StatusOr<Gate> gate = Gate::create("g", descriptor, experts, Train::no);
  ASSERT_TRUE(gate.ok()) << gate.status();
  std::vector<Parameter*> parameters;
  gate->append_parameters(parameters);
  for (int64_t e = 0; e < experts; ++e) parameters[0]->value.row(e)[e] = 1.0f;
  ASSERT_EQ(descriptor.linear_bias, !c.linear_bias.empty());
  if (descriptor.linear_bias) {
    std::copy(c.linear_bias.begin(), c.linear_bias.end(), parameters[1]->value.data());
  }
  ASSERT_EQ(descriptor.selection_bias, !c.selection_bias.empty());
  if (descriptor.selection_bias) {
    std::copy(c.selection_bias.begin(), c.selection_bias.end(), gate->selection_bias()->value.data());
  }
  gate->repack(machine.compute);

  Route route;
  GateSaved saved;
  const View<const float> x(c.logits.data(), 1, experts);
  ASSERT_TRUE(gate->route(machine.compute, x, GateMode::infer, Rng(1), route, saved).ok());
  EXPECT_EQ(experts_of(route, 0), c.experts);
  const std::vector<float> weights = weights_of(route, 0);
  ASSERT_EQ(weights.size(), c.weights.size());
  for (size_t i = 0; i < weights.size(); ++i) EXPECT_NEAR(weights[i], c.weights[i], 2e-6f);
}

// exp(logits) = 1 2 4 3, sum 10: probabilities .1 .2 .4 .3
const std::vector<float> kOneTwoFourThree = {1, 2, 4, 3};

TEST(KnownGates, Mixtral) {
  // The best two, .4 and .3, over their sum .7.
  check({"mixtral", logs(kOneTwoFourThree), 2, {2, 3}, {4.0f / 7, 3.0f / 7}});
}

TEST(KnownGates, Olmoe) { check({"olmoe", logs(kOneTwoFourThree), 2, {2, 3}, {0.4f, 0.3f}}); }

TEST(KnownGates, Qwen2Moe) { check({"qwen2_moe", logs(kOneTwoFourThree), 3, {1, 2, 3}, {0.2f, 0.4f, 0.3f}}); }

TEST(KnownGates, Qwen3Moe) {
  // .2 .4 .3 over their sum .9.
  check({"qwen3_moe", logs(kOneTwoFourThree), 3, {1, 2, 3}, {2.0f / 9, 4.0f / 9, 3.0f / 9}});
}

TEST(KnownGates, DeepseekV2) {
  // exp = (2 6) (5 1) (4 2), sum 20: probabilities (.1 .3) (.25 .05) (.2 .1). Groups' best: .3 .25 .2: groups
  // 0 and 1 stay, so expert 4 with .2 loses to expert 0 with .1. Times 16.
  check({.model_type = "deepseek_v2",
         .logits = logs({2, 6, 5, 1, 4, 2}),
         .chosen = 3,
         .experts = {0, 1, 2},
         .weights = {1.6f, 4.8f, 4.0f},
         .groups = 3,
         .groups_chosen = 2});
}

TEST(KnownGates, DeepseekV3) {
  // Sigmoids (.5 .3) (.8 .1) (.6 .2); keys with the bias (.5 .3) (.8 .1) (.6 .7): sums of two .8, .9, 1.3:
  // groups 1 and 2 stay; experts 2 and 5 win with .8 and .7. Weights from the scores without bias, .8 and .2
  // over their sum 1, times 2.5.
  check({.model_type = "deepseek_v3",
         .logits = logits_of({0.5f, 0.3f, 0.8f, 0.1f, 0.6f, 0.2f}),
         .chosen = 2,
         .experts = {2, 5},
         .weights = {2.0f, 0.5f},
         .selection_bias = {0, 0, 0, 0, 0, 0.5f},
         .groups = 3,
         .groups_chosen = 2});
}

TEST(KnownGates, GptOss) {
  // x = log(1 2 1 1), bias = log(1 1 4 3): exp(logits) = 1 2 4 3. The best two, then a softmax over them.
  check({.model_type = "gpt_oss",
         .logits = logs({1, 2, 1, 1}),
         .chosen = 2,
         .experts = {2, 3},
         .weights = {4.0f / 7, 3.0f / 7},
         .linear_bias = logs({1, 1, 4, 3})});
}

TEST(KnownGates, Granite) {
  check({"granitemoe", logs(kOneTwoFourThree), 3, {1, 2, 3}, {2.0f / 9, 4.0f / 9, 3.0f / 9}});
}

TEST(KnownGates, UnknownNameIsNull) { EXPECT_EQ(find_known_gate("no such model"), nullptr); }

}  // namespace
}  // namespace agora::moe
