#include "agora/moe/gate/gate.h"

#include <cmath>
#include <limits>

#include "agora/moe/gate/explain.h"
#include "agora/moe/test_support.h"
#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

namespace agora::moe {
namespace {

using tensor::Buffer;
using testing::ElementsAre;
using testing::HasSubstr;

// Every way of choosing that leaves a token's result to its own row.
std::vector<GateDescriptor> gates_by_token() {
  return {
      {.experts = 6, .chosen = 2},
      {.experts = 6, .chosen = 3, .renormalise = true, .scale = 2.5f},
      {.experts = 6, .chosen = 2, .score_before_selection = false, .linear_bias = true},
      {.score = Score::sigmoid, .experts = 6, .chosen = 2, .renormalise = true, .selection_bias = true},
      {.score = Score::sigmoid, .experts = 6, .chosen = 2, .score_before_selection = false},
      {.selection = Selection::grouped_top_k, .experts = 6, .chosen = 2, .groups = 3, .groups_chosen = 2},
      {.experts = 6, .chosen = 4, .zero_experts = 1, .copy_experts = 2, .constant_experts = 1},
      {.selection = Selection::all, .experts = 6, .chosen = 6},
  };
}

GateDescriptor expert_choice_gate() {
  return {.selection = Selection::expert_choice, .experts = 6, .chosen = 2, .renormalise = true};
}

Gate make_gate(const GateDescriptor& descriptor, int64_t d, const TestCompute& machine) {
  StatusOr<Gate> gate = Gate::create("model.layers.0.mlp", descriptor, d, Train::yes);
  EXPECT_TRUE(gate.ok()) << gate.status();
  gate->initialise(Rng(11), 0.5f);
  Rng rng(12);
  std::vector<Parameter*> parameters;
  gate->append_parameters(parameters);
  if (gate->selection_bias() != nullptr) parameters.push_back(gate->selection_bias());
  for (Parameter* p : parameters) {
    for (float& value : p->value.flat()) value += 0.1f * rng.normal();
  }
  gate->repack(machine.compute);
  return std::move(*gate);
}

void expect_well_formed(const GateDescriptor& gate, const Route& route, int64_t tokens) {
  EXPECT_TRUE(validate(route, tokens, gate.candidates()).ok()) << validate(route, tokens, gate.candidates());
  for (int64_t t = 0; t < tokens; ++t) {
    const std::vector<float> weights = weights_of(route, t);
    if (gate.selection != Selection::expert_choice) {
      EXPECT_EQ(static_cast<int64_t>(weights.size()), gate.chosen);
    }
    float sum = 0;
    for (const float w : weights) {
      EXPECT_GE(w, 0.0f);
      sum += w;
    }
    if (route.normalised && !weights.empty()) {
      EXPECT_NEAR(sum, gate.scale, 1e-5f * gate.scale);
    }
  }
}

RC_GTEST_PROP(Gate, RoutesAreWellFormed, (uint16_t seed)) {
  TestCompute machine;
  Rng rng(seed);
  std::vector<GateDescriptor> gates = gates_by_token();
  gates.push_back(expert_choice_gate());
  for (const GateDescriptor& descriptor : gates) {
    const Gate gate = make_gate(descriptor, 5, machine);
    const int64_t tokens = rng.below(150);
    const Buffer<float> x = random_rows(rng, tokens, 5, 3.0f);
    Route route;
    GateSaved saved;
    ASSERT_TRUE(gate.route(machine.compute, x.view(), GateMode::infer, rng, route, saved).ok());
    expect_well_formed(descriptor, route, tokens);
  }
}

RC_GTEST_PROP(Gate, ATokensRouteDoesNotDependOnItsBatch, (uint16_t seed)) {
  TestCompute two(2), one(1);
  Rng rng(seed);
  const int64_t d = 37, tokens = 1 + rng.below(300);
  for (const GateDescriptor& descriptor : gates_by_token()) {
    const Gate gate = make_gate(descriptor, d, two);
    const Buffer<float> x = random_rows(rng, tokens, d);
    Route together, alone;
    GateSaved saved;
    ASSERT_TRUE(gate.route(two.compute, x.view(), GateMode::infer, rng, together, saved).ok());
    const int64_t t = rng.below(static_cast<uint32_t>(tokens));
    ASSERT_TRUE(gate.route(one.compute, x.view().rows_from(t, 1), GateMode::infer, rng, alone, saved).ok());
    RC_ASSERT(experts_of(alone, 0) == experts_of(together, t));
    RC_ASSERT(weights_of(alone, 0) == weights_of(together, t));
  }
}

TEST(Gate, ABatchWithTooManyScoresIsRefused) {
  TestCompute machine;
  const Gate gate = make_gate({.experts = kGateCandidatesMax, .chosen = 1}, 1, machine);
  const Buffer<float> x(32768, 1, tensor::Purpose::scratch);
  Route route;
  GateSaved saved;
  const Status status = gate.route(machine.compute, x.view(), GateMode::infer, Rng(1), route, saved);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("32768 tokens"));
}

TEST(Gate, ExpertChoiceGivesEveryExpertItsTokens) {
  TestCompute machine;
  const Gate gate = make_gate(expert_choice_gate(), 5, machine);
  Rng rng(3);
  const Buffer<float> x = random_rows(rng, 60, 5);
  Route route;
  GateSaved saved;
  ASSERT_TRUE(gate.route(machine.compute, x.view(), GateMode::infer, rng, route, saved).ok());
  EXPECT_THAT(expert_loads(route, 6), ElementsAre(20, 20, 20, 20, 20, 20));
}

TEST(Gate, NotFiniteNamesTheFirstToken) {
  TestCompute machine;
  const Gate gate = make_gate({.experts = 4, .chosen = 2}, 5, machine);
  Rng rng(3);
  Buffer<float> x = random_rows(rng, 300, 5);
  x.row(70)[2] = std::numeric_limits<float>::quiet_NaN();
  x.row(280)[0] = std::numeric_limits<float>::infinity();
  Route route;
  GateSaved saved;
  const Status status = gate.route(machine.compute, x.view(), GateMode::infer, rng, route, saved);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("token 70 "));
}

TEST(Gate, EmptyBatch) {
  TestCompute machine;
  const Gate gate = make_gate(expert_choice_gate(), 5, machine);
  Route route;
  GateSaved saved;
  EXPECT_TRUE(
      gate.route(machine.compute, View<const float>(nullptr, 0, 5), GateMode::infer, Rng(1), route, saved)
          .ok());
  EXPECT_EQ(route.tokens(), 0);
}

TEST(Gate, RefusesBadShapes) {
  EXPECT_FALSE(Gate::create("g", {.experts = 4, .chosen = 2}, 0, Train::no).ok());
  EXPECT_FALSE(Gate::create("g", {.experts = 4, .chosen = 5}, 8, Train::no).ok());
}

TEST(Gate, NoiseComesFromTheCallsRngAndOnlyInTraining) {
  TestCompute machine;
  const Gate gate =
      make_gate({.experts = 6, .chosen = 2, .score_before_selection = false, .noise = 1.0f}, 5, machine);
  Rng rng(3);
  const Buffer<float> x = random_rows(rng, 100, 5);
  auto weights = [&](GateMode mode, uint64_t seed) {
    Route route;
    GateSaved saved;
    EXPECT_TRUE(gate.route(machine.compute, x.view(), mode, Rng(seed), route, saved).ok());
    return route.weight;
  };
  EXPECT_EQ(weights(GateMode::train, 1), weights(GateMode::train, 1));
  EXPECT_NE(weights(GateMode::train, 1), weights(GateMode::train, 2));
  EXPECT_EQ(weights(GateMode::infer, 1), weights(GateMode::infer, 2));
  EXPECT_NE(weights(GateMode::infer, 1), weights(GateMode::train, 1));
}

TEST(Gate, NamesOfParameters) {
  StatusOr<Gate> gate = Gate::create(
      "m", {.experts = 4, .chosen = 2, .linear_bias = true, .selection_bias = true, .noise = 1.0f}, 8,
      Train::yes);
  ASSERT_TRUE(gate.ok());
  std::vector<Parameter*> parameters;
  gate->append_parameters(parameters);
  std::vector<std::string> names;
  for (const Parameter* p : parameters) names.push_back(p->name);
  EXPECT_THAT(names, ElementsAre("m.gate.weight", "m.gate.bias", "m.gate.noise.weight"));
  EXPECT_EQ(gate->selection_bias()->name, "m.gate.e_score_correction_bias");
  EXPECT_FALSE(gate->selection_bias()->trained());
}

// The identity as router. Sigmoids .5 .8 .6 with bias .4 on expert 0: keys .9 .8 .6.
TEST(Explain, ScoreBiasAndRunnerUp) {
  TestCompute machine;
  StatusOr<Gate> gate = Gate::create(
      "g", {.score = Score::sigmoid, .experts = 3, .chosen = 1, .selection_bias = true}, 3, Train::no);
  ASSERT_TRUE(gate.ok());
  std::vector<Parameter*> parameters;
  gate->append_parameters(parameters);
  for (int64_t e = 0; e < 3; ++e) parameters[0]->value.row(e)[e] = 1.0f;
  gate->selection_bias()->value.data()[0] = 0.4f;
  gate->repack(machine.compute);
  const std::vector<float> x = {0.0f, std::log(4.0f), std::log(1.5f)};
  Route route;
  GateSaved saved;
  ASSERT_TRUE(
      gate->route(machine.compute, View<const float>(x.data(), 1, 3), GateMode::infer, Rng(1), route, saved)
          .ok());
  const std::vector<TokenReasons> reasons = explain(gate->descriptor(), route, saved);
  ASSERT_EQ(reasons.size(), 1u);
  ASSERT_EQ(reasons[0].chosen.size(), 1u);
  EXPECT_EQ(reasons[0].chosen[0].candidate, 0);
  EXPECT_NEAR(reasons[0].chosen[0].score, 0.5f, 1e-6f);
  EXPECT_EQ(reasons[0].chosen[0].bias, 0.4f);
  EXPECT_NEAR(reasons[0].chosen[0].weight, 0.5f, 1e-6f);
  EXPECT_EQ(reasons[0].runner_up.candidate, 1);
  EXPECT_NEAR(reasons[0].runner_up.score, 0.8f, 1e-6f);
  name_runners_up(gate->descriptor(), saved, route);
  EXPECT_EQ(route.runner_up, std::vector<int32_t>{1});
}

TEST(Explain, NoRunnerUpWhenAllAreChosen) {
  TestCompute machine;
  const Gate gate = make_gate({.selection = Selection::all, .experts = 6, .chosen = 6}, 5, machine);
  Rng rng(3);
  const Buffer<float> x = random_rows(rng, 2, 5);
  Route route;
  GateSaved saved;
  ASSERT_TRUE(gate.route(machine.compute, x.view(), GateMode::infer, rng, route, saved).ok());
  EXPECT_EQ(explain(gate.descriptor(), route, saved)[1].runner_up.candidate, -1);
  name_runners_up(gate.descriptor(), saved, route);
  EXPECT_EQ(route.runner_up, (std::vector<int32_t>{-1, -1}));
}

// The loss is a fixed random sum of the weights, by (token, candidate), so that its slope says what reaches
// the gate. Steps are small against the gaps between scores: choices stay, as a gradient assumes.
void check_gradient(const GateDescriptor& descriptor) {
  TestCompute machine;
  const int64_t d = 5, tokens = 12, candidates = descriptor.candidates();
  Gate gate = make_gate(descriptor, d, machine);
  Rng rng(5);
  Buffer<float> x = random_rows(rng, tokens, d);
  const Buffer<float> wanted = random_rows(rng, tokens, candidates);
  const Rng noise(6);
  Route route;
  GateSaved saved;
  ASSERT_TRUE(gate.route(machine.compute, x.view(), GateMode::train, noise, route, saved).ok());
  const Route start = route;

  std::vector<float> dweights;
  for (int64_t t = 0; t < tokens; ++t) {
    for (const int32_t e : experts_of(route, t)) dweights.push_back(wanted.row(t)[e]);
  }
  Buffer<float> dlogits(tokens, candidates, Purpose::gradient), dx(tokens, d, Purpose::gradient);
  gate.backward(machine.compute, x.view(), route, saved, dweights, dlogits.view(), dx.view());

  auto loss = [&] {
    gate.repack(machine.compute);
    EXPECT_TRUE(gate.route(machine.compute, x.view(), GateMode::train, noise, route, saved).ok());
    EXPECT_EQ(route.expert, start.expert) << "a choice moved: take another seed";
    return dot(route.weight, dweights);
  };
  expect_gradient("x", x.flat(), dx.flat(), loss, 2e-3, 2e-3f);
  std::vector<Parameter*> parameters;
  gate.append_parameters(parameters);
  for (Parameter* p : parameters) {
    expect_gradient(p->name, p->value.flat(), p->gradient.flat(), loss, 2e-3, 2e-3f);
  }
}

TEST(GateGradient, EveryDescriptor) {
  std::vector<GateDescriptor> gates = gates_by_token();
  gates.push_back(expert_choice_gate());
  gates.push_back({.selection = Selection::expert_choice, .experts = 6, .chosen = 2});
  gates.push_back(
      {.score = Score::sigmoid, .selection = Selection::all, .experts = 6, .chosen = 6, .renormalise = true});
  gates.push_back({.experts = 6, .chosen = 2, .score_before_selection = false, .noise = 1.0f});
  gates.push_back({.experts = 6, .chosen = 2, .noise = 0.5f});
  for (size_t i = 0; i < gates.size(); ++i) {
    SCOPED_TRACE("gate " + std::to_string(i));
    check_gradient(gates[i]);
  }
}

}  // namespace
}  // namespace agora::moe
