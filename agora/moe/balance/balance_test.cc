#include <cmath>
#include <numeric>

#include "agora/moe/balance/loads.h"
#include "agora/moe/balance/losses.h"
#include "agora/moe/balance/probabilities.h"
#include "agora/moe/balance/selection_bias.h"
#include "agora/moe/test_support.h"
#include <gmock/gmock.h>

namespace agora::moe {
namespace {

using tensor::Buffer;
using testing::ElementsAre;

// Every column is the candidate of its number.
std::vector<int32_t> all_of(const Buffer<float>& logits) {
  std::vector<int32_t> candidates(static_cast<size_t>(logits.cols()));
  std::iota(candidates.begin(), candidates.end(), 0);
  return candidates;
}

std::vector<int64_t> loads_of(std::initializer_list<int64_t> loads) { return loads; }

TEST(LoadSpread, ByHand) {
  // Mean 4, largest 8: MaxVio 1. Deviations -4 -2 2 4... squares 16 4 4 16 over 4 is 10.
  const LoadSpread spread = load_spread(loads_of({0, 2, 6, 8}));
  EXPECT_DOUBLE_EQ(spread.max_violation, 1.0);
  EXPECT_DOUBLE_EQ(spread.variation, std::sqrt(10.0) / 4.0);
  EXPECT_NEAR(spread.entropy, -(0.125 * std::log(0.125) + 0.375 * std::log(0.375) + 0.5 * std::log(0.5)),
              1e-12);
}

TEST(LoadSpread, EvenAllOnOneAndNothing) {
  const LoadSpread even = load_spread(loads_of({5, 5, 5, 5}));
  EXPECT_EQ(even.max_violation, 0.0);
  EXPECT_EQ(even.variation, 0.0);
  EXPECT_NEAR(even.entropy, std::log(4.0), 1e-12);
  const LoadSpread one = load_spread(loads_of({0, 8, 0, 0}));
  EXPECT_EQ(one.max_violation, 3.0);
  EXPECT_EQ(one.entropy, 0.0);
  EXPECT_EQ(load_spread(loads_of({0, 0})).max_violation, 0.0);
}

TEST(SelectionBias, MovesTowardsTheMean) {
  std::vector<float> bias = {0, 0, 0, 0.5f};
  move_selection_bias(loads_of({1, 2, 3}), 0.25f, bias);
  EXPECT_THAT(bias, ElementsAre(0.25f, 0.0f, -0.25f, 0.5f));
  move_selection_bias(loads_of({0, 0, 0}), 0.25f, bias);
  EXPECT_THAT(bias, ElementsAre(0.25f, 0.0f, -0.25f, 0.5f));
}

TEST(LoadShares, AddUpToOne) {
  EXPECT_THAT(load_shares(loads_of({1, 3})), ElementsAre(0.25f, 0.75f));
  EXPECT_THAT(load_shares(loads_of({0, 0})), ElementsAre(0.0f, 0.0f));
}

TEST(SwitchLoss, ByHand) {
  TestCompute machine;
  // Probabilities (.25 .75) and (.5 .5): P = (.375 .625); f = (.25 .75): 2 * (.09375 + .46875) = 1.125.
  const std::vector<float> logits = {0.0f, std::log(3.0f), 1.0f, 1.0f};
  const std::vector<float> shares = {0.25f, 0.75f};
  const View<const float> view(logits.data(), 2, 2);
  EXPECT_NEAR(switch_loss(machine.compute, Score::softmax, view, shares, 0.5f, {}), 0.5f * 1.125f, 1e-6f);
  const std::vector<float> even = {0.5f, 0.5f};
  EXPECT_NEAR(switch_loss(machine.compute, Score::softmax, view, even, 1.0f, {}), 1.0f, 1e-6f);
}

TEST(RouterZLoss, ByHand) {
  TestCompute machine;
  // log(1 + 3) and log(2 + 2): both log 4.
  const std::vector<float> logits = {0.0f, std::log(3.0f), std::log(2.0f), std::log(2.0f)};
  EXPECT_NEAR(router_z_loss(machine.compute, View<const float>(logits.data(), 2, 2), 0.1f, {}),
              0.1 * std::log(4.0) * std::log(4.0), 1e-6);
}

TEST(RoutingEntropy, ByHand) {
  TestCompute machine;
  const std::vector<float> logits = {7.0f, 7.0f, 100.0f, 0.0f};
  EXPECT_NEAR(routing_entropy(machine.compute, Score::softmax, View<const float>(logits.data(), 2, 2)),
              std::log(2.0) / 2.0, 1e-6);
  EXPECT_NEAR(routing_entropy(machine.compute, Score::sigmoid, View<const float>(logits.data(), 1, 2)),
              std::log(2.0), 1e-6);
}

TEST(SequenceSwitchLoss, IsTheMeanOverSequences) {
  TestCompute machine;
  Rng rng(4);
  const Buffer<float> logits = random_rows(rng, 10, 4);
  const Route route = random_route(rng, 10, 4, 2);
  const std::vector<int32_t> first = {0, 3, 3, 10};
  double expected = 0;
  for (const auto& [begin, tokens] : {std::pair{0, 3}, std::pair{3, 7}}) {
    std::vector<int64_t> loads(4);
    for (int32_t i = route.first[begin]; i < route.first[begin + tokens]; ++i) ++loads[route.expert[i]];
    expected += 0.5 * switch_loss(machine.compute, Score::softmax, logits.view().rows_from(begin, tokens),
                                  load_shares(loads), 1.0f, {});
  }
  EXPECT_NEAR(sequence_switch_loss(machine.compute, Score::softmax, logits.view(), route, all_of(logits),
                                   first, 1.0f, {}),
              expected, 1e-6);
}

TEST(BalanceGradient, EveryLoss) {
  TestCompute machine;
  Rng rng(4);
  Buffer<float> logits = random_rows(rng, 100, 5);
  const Route route = random_route(rng, 100, 5, 2);
  const std::vector<float> shares = {0.4f, 0.1f, 0.2f, 0.3f, 0.0f};
  const std::vector<int32_t> first = {0, 30, 100};
  using Loss = std::function<float(View<float>)>;
  const std::vector<std::pair<std::string, Loss>> losses = {
      {"switch softmax",
       [&](View<float> d) {
         return switch_loss(machine.compute, Score::softmax, logits.view(), shares, 30.0f, d);
       }},
      {"switch sigmoid",
       [&](View<float> d) {
         return switch_loss(machine.compute, Score::sigmoid, logits.view(), shares, 30.0f, d);
       }},
      {"sequence",
       [&](View<float> d) {
         return sequence_switch_loss(machine.compute, Score::softmax, logits.view(), route, all_of(logits),
                                     first, 30.0f, d);
       }},
      {"z", [&](View<float> d) { return router_z_loss(machine.compute, logits.view(), 10.0f, d); }},
  };
  for (const auto& [name, loss] : losses) {
    Buffer<float> dlogits(100, 5, tensor::Purpose::gradient);
    loss(dlogits.view());
    expect_gradient(
        name, logits.flat(), dlogits.flat(), [&loss = loss] { return loss(View<float>()); }, 2e-3, 0.2f);
  }
}

TEST(BalanceGradient, LossesAreAddedToWhatIsThere) {
  TestCompute machine;
  Rng rng(4);
  const Buffer<float> logits = random_rows(rng, 3, 2);
  Buffer<float> once(3, 2, tensor::Purpose::gradient), twice(3, 2, tensor::Purpose::gradient);
  router_z_loss(machine.compute, logits.view(), 1.0f, once.view());
  router_z_loss(machine.compute, logits.view(), 1.0f, twice.view());
  router_z_loss(machine.compute, logits.view(), 1.0f, twice.view());
  for (int64_t i = 0; i < once.size(); ++i) EXPECT_FLOAT_EQ(twice.data()[i], 2.0f * once.data()[i]);
}

}  // namespace
}  // namespace agora::moe
