#include "agora/moe/missing.h"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agora::moe {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Route route_of(std::vector<float> weights) {
  Route route{.first = {0, static_cast<int32_t>(weights.size())}, .expert = {}, .weight = std::move(weights)};
  for (size_t i = 0; i < route.weight.size(); ++i) route.expert.push_back(static_cast<int32_t>(i));
  route.normalised = true;
  return route;
}

TEST(Missing, ScalesWhatArrivedUpToTheWhole) {
  const std::vector<uint8_t> first = {1, 0}, both = {1, 1};
  EXPECT_THAT(missing_scale(route_of({0.25f, 0.75f}), first), ElementsAre(4.0f));
  EXPECT_THAT(missing_scale(route_of({-0.25f, -0.75f}), first), ElementsAre(4.0f)) << "a negative scale";
  EXPECT_THAT(missing_scale(route_of({0.25f, 0.75f}), both), IsEmpty());
  Route as_it_is = route_of({0.25f, 0.75f});
  as_it_is.normalised = false;
  EXPECT_THAT(missing_scale(as_it_is, first), IsEmpty());
}

// 1 / 1e-40 is infinity, and infinity times 0 no number.
TEST(Missing, NextToNothingIsNotScaledUp) {
  const std::vector<uint8_t> second = {0, 1};
  for (const float weight : {0.0f, 1e-40f, std::numeric_limits<float>::min(), 1e-9f}) {
    const Route route = route_of({1.0f, weight});
    const std::vector<float> scale = missing_scale(route, second);
    EXPECT_THAT(scale, ElementsAre(1.0f)) << weight;
    std::vector<float> dweights = {5.0f, 3.0f};
    missing_backward(route, second, scale, dweights);
    EXPECT_THAT(dweights, ElementsAre(0.0f, 3.0f)) << weight;
  }
}

}  // namespace
}  // namespace agora::moe
