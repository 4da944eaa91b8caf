#include "agora/moe/absent_experts.h"

#include "agora/moe/local_experts.h"
#include "agora/moe/test_support.h"
#include <gtest/gtest.h>

namespace agora::moe {
namespace {

using tensor::Buffer;
using tensor::View;

TEST(AbsentExperts, ItsSummandsDoNotArriveAndTheOthersDo) {
  TestCompute machine;
  auto made = LocalExperts::create(machine.compute, {.layers = 2, .experts = 5, .shape = {.d = 6, .h = 8}});
  ASSERT_TRUE(made.ok()) << made.status();
  LocalExperts& experts = **made;
  experts.initialise(Rng(1));
  AbsentExperts without(experts);
  Rng rng(2);
  const Buffer<float> x = random_rows(rng, 40, 6);
  const Route route = random_route(rng, 40, 5, 2);
  auto mix = [&](Experts& of, int32_t layer, const Route& chosen) {
    Buffer<float> y(40, 6, tensor::Purpose::scratch);
    const auto result = of.mix(LayerId{layer}, x.view(), chosen, Keep::for_backward, kNoDeadline, y.view());
    EXPECT_TRUE(result.ok()) << result.status();
    if (&of == &without) {
      EXPECT_EQ(result->ticket, Ticket{});
    }
    return std::pair(std::vector<float>(y.flat().begin(), y.flat().end()), result->arrived);
  };

  without.remove(LayerId{1}, ExpertId{3});
  EXPECT_EQ(mix(without, 0, route), mix(experts, 0, route));
  const auto [y, arrived] = mix(without, 1, route);
  Route silenced = route;
  for (size_t i = 0; i < route.expert.size(); ++i) {
    EXPECT_EQ(arrived[i], route.expert[i] == 3 ? 0 : 1);
    if (route.expert[i] == 3) silenced.weight[i] = 0.0f;
  }
  EXPECT_EQ(y, mix(experts, 1, silenced).first);
  without.restore();
  EXPECT_EQ(mix(without, 1, route), mix(experts, 1, route));
  EXPECT_FALSE(without.mix_backward({}, {}, kNoDeadline, {}, {}).ok());
}

TEST(AbsentExperts, WhatElseDoesNotArriveIsSaidInTheRoutesOrder) {
  TestCompute machine;
  auto made = LocalExperts::create(machine.compute, {.layers = 1, .experts = 5, .shape = {.d = 6, .h = 8}});
  ASSERT_TRUE(made.ok()) << made.status();
  (*made)->initialise(Rng(1));
  AbsentExperts without_two(**made);
  AbsentExperts without_both(static_cast<Experts&>(without_two));
  without_two.remove(LayerId{0}, ExpertId{2});
  without_both.remove(LayerId{0}, ExpertId{3});
  Rng rng(2);
  const Buffer<float> x = random_rows(rng, 40, 6);
  const Route route = random_route(rng, 40, 5, 3);
  Buffer<float> y(40, 6, tensor::Purpose::scratch);
  const auto result = without_both.mix(LayerId{0}, x.view(), route, Keep::nothing, kNoDeadline, y.view());
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->arrived.size(), route.expert.size());
  for (size_t i = 0; i < route.expert.size(); ++i) {
    EXPECT_EQ(result->arrived[i], route.expert[i] == 2 || route.expert[i] == 3 ? 0 : 1);
  }
}

}  // namespace
}  // namespace agora::moe
