// Closed experts are as if they were not there, bit for bit; those that open slowly are chosen later, not
// weighed otherwise.
#include <numeric>

#include "agora/moe/balance/losses.h"
#include "agora/moe/gate/explain.h"
#include "agora/moe/gate/gate.h"
#include "agora/moe/test_support.h"
#include <gmock/gmock.h>

namespace agora::moe {
namespace {

using tensor::Buffer;
using testing::ElementsAre;

constexpr int64_t kD = 37, kTokens = 150;
const std::vector<int32_t> kOpen = {0, 2, 3, 6, 7, 9};

std::vector<GateDescriptor> descriptors() {
  return {
      {.chosen = 2},
      {.chosen = 3, .renormalise = true, .selection_bias = true},
      {.chosen = 2, .score_before_selection = false, .linear_bias = true, .noise = 0.5f},
      {.score = Score::sigmoid, .chosen = 2, .renormalise = true, .selection_bias = true},
      {.chosen = 4, .copy_experts = 2, .constant_experts = 1},
  };
}

// The numbers that the candidates of `small`, which has the open experts alone, have in `large`.
std::vector<int32_t> numbers_in(const GateDescriptor& large) {
  std::vector<int32_t> numbers = kOpen;
  for (auto c = static_cast<int32_t>(large.experts); c < large.candidates(); ++c) numbers.push_back(c);
  return numbers;
}

std::vector<Parameter*> tensors_of(Gate& gate) {
  std::vector<Parameter*> all;
  gate.append_parameters(all);
  if (gate.selection_bias() != nullptr) all.push_back(gate.selection_bias());
  return all;
}

struct Pair {
  Gate large;  // 12 experts, all but kOpen closed
  Gate small;  // those alone
  std::vector<int32_t> numbers;
};

std::span<float> part(tensor::Buffer<float>& values, int rank, int64_t i) {
  const auto length = static_cast<size_t>(rank == 2 ? values.cols() : 1);
  return values.flat().subspan(static_cast<size_t>(i) * length, length);
}

Pair make_pair(GateDescriptor descriptor, const TestCompute& machine) {
  descriptor.experts = 12;
  descriptor.entry_bias = true;
  Gate large = *Gate::create("g", descriptor, kD, Train::yes);
  GateDescriptor of_small = descriptor;
  of_small.experts = std::ssize(kOpen);
  of_small.entry_bias = false;
  Gate small = *Gate::create("g", of_small, kD, Train::yes);
  Rng rng(5);
  for (Parameter* p : tensors_of(large)) {
    for (float& value : p->value.flat()) value = 0.3f * rng.normal();
  }
  for (int32_t e = 0; e < descriptor.experts; ++e) {
    large.entry_bias()->value.flat()[e] = std::ranges::count(kOpen, e) > 0 ? 0.0f : kClosed;
  }
  const std::vector<int32_t> numbers = numbers_in(descriptor);
  const std::vector<Parameter*> from = tensors_of(large);
  const std::vector<Parameter*> to = tensors_of(small);
  for (size_t p = 0; p < from.size(); ++p) {
    for (size_t i = 0; i < numbers.size(); ++i) {
      std::ranges::copy(part(from[p]->value, from[p]->rank, numbers[i]),
                        part(to[p]->value, to[p]->rank, static_cast<int64_t>(i)).begin());
    }
  }
  large.repack(machine.compute);
  small.repack(machine.compute);
  return {std::move(large), std::move(small), numbers};
}

struct Routed {
  Route route;
  GateSaved saved;
};

Routed route_of(const Gate& gate, const TestCompute& machine, View<const float> x) {
  Routed routed;
  const Status status = gate.route(machine.compute, x, GateMode::train, Rng(9), routed.route, routed.saved);
  EXPECT_TRUE(status.ok()) << status;
  return routed;
}

// Two backward passes: gradients are added to.
Buffer<float> backward(Gate& gate, const TestCompute& machine, View<const float> x, const Routed& routed) {
  Buffer<float> dx(x.rows, x.cols, tensor::Purpose::gradient);
  for (int pass = 0; pass < 2; ++pass) {
    Rng rng(20 + static_cast<uint64_t>(pass));
    std::vector<float> dweights(routed.route.weight.size());
    for (float& d : dweights) d = rng.normal();
    Buffer<float> dlogits(x.rows, std::ssize(routed.saved.candidate), tensor::Purpose::gradient);
    router_z_loss(machine.compute, routed.saved.logits.view(), 0.1f, dlogits.view());
    gate.backward(machine.compute, x, routed.route, routed.saved, dweights, dlogits.view(), dx.view());
  }
  return dx;
}

TEST(EntryBias, WhatIsClosedIsAsIfItWereNotThere) {
  TestCompute machine;
  Rng rng(1);
  const Buffer<float> x = random_rows(rng, kTokens, kD);
  for (const GateDescriptor& descriptor : descriptors()) {
    auto [large, small, numbers] = make_pair(descriptor, machine);
    EXPECT_THAT(large.open(), testing::ElementsAreArray(numbers));
    const Routed in_large = route_of(large, machine, x.view());
    const Routed in_small = route_of(small, machine, x.view());
    std::vector<int32_t> expected;
    for (const int32_t e : in_small.route.expert) expected.push_back(numbers[e]);
    EXPECT_EQ(in_large.route.expert, expected);
    EXPECT_EQ(in_large.route.weight, in_small.route.weight);

    const Buffer<float> dx_large = backward(large, machine, x.view(), in_large);
    const Buffer<float> dx_small = backward(small, machine, x.view(), in_small);
    EXPECT_TRUE(std::ranges::equal(dx_large.flat(), dx_small.flat()));
    std::vector<Parameter*> of_large, of_small;
    large.append_parameters(of_large);
    small.append_parameters(of_small);
    for (size_t p = 0; p < of_large.size(); ++p) {
      for (int64_t c = 0; c < large.descriptor().candidates(); ++c) {
        const auto gradient = part(of_large[p]->gradient, of_large[p]->rank, c);
        const auto found = std::ranges::find(numbers, c);
        if (found == numbers.end()) {
          EXPECT_TRUE(std::ranges::all_of(gradient, [](float g) { return g == 0.0f; }));
        } else {
          EXPECT_TRUE(std::ranges::equal(
              gradient, part(of_small[p]->gradient, of_small[p]->rank, found - numbers.begin())));
        }
      }
    }
  }
}

TEST(EntryBias, ItMovesTheChoiceAndNotTheWeight) {
  TestCompute machine;
  Rng rng(2);
  const Buffer<float> x = random_rows(rng, kTokens, kD);
  auto [gate, small, numbers] = make_pair({.chosen = 2}, machine);
  const auto chosen_at = [&, &gate = gate](float bias) {
    gate.entry_bias()->value.flat()[3] = bias;
    gate.repack(machine.compute);
    const Routed routed = route_of(gate, machine, x.view());
    for (int64_t t = 0; t < kTokens; ++t) {
      const auto scores = std::as_const(routed.saved.scores).view();
      for (int32_t i = routed.route.first[t]; i < routed.route.first[t + 1]; ++i) {
        const auto column = std::ranges::find(routed.saved.candidate, routed.route.expert[i]);
        EXPECT_EQ(routed.route.weight[i], scores.row(t)[column - routed.saved.candidate.begin()]);
      }
    }
    return expert_loads(routed.route, 12)[3];
  };
  EXPECT_EQ(chosen_at(-0.99f), 0);
  const int64_t some = chosen_at(-0.05f);
  EXPECT_GT(some, 0);
  EXPECT_GT(chosen_at(0.0f), some);
}

TEST(EntryBias, RunnersUpAndReasonsAreOfTheOpenAlone) {
  TestCompute machine;
  Rng rng(3);
  const Buffer<float> x = random_rows(rng, kTokens, kD);
  auto [large, small, numbers] = make_pair(descriptors()[4], machine);
  Routed in_large = route_of(large, machine, x.view());
  Routed in_small = route_of(small, machine, x.view());
  name_runners_up(large.descriptor(), in_large.saved, in_large.route);
  name_runners_up(small.descriptor(), in_small.saved, in_small.route);
  const auto reasons_large = explain(large.descriptor(), in_large.route, in_large.saved);
  const auto reasons_small = explain(small.descriptor(), in_small.route, in_small.saved);
  for (int64_t t = 0; t < kTokens; ++t) {
    EXPECT_EQ(in_large.route.runner_up[t], numbers[in_small.route.runner_up[t]]);
    EXPECT_EQ(reasons_large[t].runner_up.candidate, numbers[reasons_small[t].runner_up.candidate]);
    EXPECT_EQ(reasons_large[t].chosen[0].score, reasons_small[t].chosen[0].score);
  }
}

// A trunk from elsewhere may say so.
TEST(EntryBias, FewOpenExpertsAreFewChoices) {
  TestCompute machine;
  Rng rng(4);
  const Buffer<float> x = random_rows(rng, 3, kD);
  auto [gate, small, numbers] = make_pair({.chosen = 2}, machine);
  const std::span<float> entry = gate.entry_bias()->value.flat();
  std::ranges::fill(entry, kClosed);
  gate.repack(machine.compute);
  EXPECT_THAT(route_of(gate, machine, x.view()).route.expert, ElementsAre(0, 0, 0));
  entry[5] = 0.0f;
  gate.repack(machine.compute);
  EXPECT_THAT(route_of(gate, machine, x.view()).route.expert, ElementsAre(5, 5, 5));
}

TEST(EntryBias, ANewcomerBeginsAsItsSourceOrFromItsSeed) {
  TestCompute machine;
  auto [gate, small, numbers] = make_pair(descriptors()[1], machine);
  Parameter& weight = *tensors_of(gate)[0];
  std::ranges::fill(part(weight.first, 2, 4), 1.0f);
  const std::span<const float> before_it = weight.value.flat().first(4 * kD);
  const std::vector<float> others(before_it.begin(), before_it.end());
  gate.seat_expert({.expert = ExpertId{4}, .source = ExpertId{2}}, Rng(8));
  double off = 0, size = 0;
  for (int64_t d = 0; d < kD; ++d) {
    off += std::pow(weight.value.row(4)[d] - weight.value.row(2)[d], 2.0);
    size += std::pow(weight.value.row(2)[d], 2.0);
  }
  EXPECT_NEAR(std::sqrt(off / size), 0.1, 0.05);
  EXPECT_EQ(gate.selection_bias()->value.flat()[4], gate.selection_bias()->value.flat()[2]);
  EXPECT_EQ(weight.first.row(4)[0], 0.0f);
  EXPECT_TRUE(std::ranges::equal(others, weight.value.flat().first(others.size())));

  gate.seat_expert({.expert = ExpertId{4}, .source = {}}, Rng(8));
  const std::vector<float> first(weight.value.row(4), weight.value.row(5));
  float mean = 0;
  for (const int32_t e : kOpen) mean += gate.selection_bias()->value.flat()[e] / std::ssize(kOpen);
  EXPECT_NEAR(gate.selection_bias()->value.flat()[4], mean, 1e-6f);
  weight.value.row(4)[0] = 9;
  gate.seat_expert({.expert = ExpertId{4}, .source = {}}, Rng(8));
  EXPECT_TRUE(std::ranges::equal(first, weight.value.view().row_span(4)));
}

TEST(EntryBias, IsForTopKAlone) {
  EXPECT_FALSE(validate({.selection = Selection::all, .experts = 4, .chosen = 4, .entry_bias = true}).ok());
  EXPECT_TRUE(validate({.experts = 4, .chosen = 2, .entry_bias = true}).ok());
}

}  // namespace
}  // namespace agora::moe
