#include "agora/sim/quality.h"

#include <gtest/gtest.h>

namespace agora::sim {
namespace {

TEST(Quality, IsMeasuredWhereMostExpertsGetNoRowOfABatch) {
  Scenario scenario;
  scenario.hosts = 2;
  scenario.layers = 1;
  scenario.experts = 600;
  const auto curve = measure_quality(scenario, /*seed=*/1, /*replicas=*/1, /*steps=*/1);
  ASSERT_TRUE(curve.ok()) << curve.status();
  EXPECT_EQ(curve->steps, 1);
  EXPECT_FALSE(curve->hosts_dead.empty());
}

}  // namespace
}  // namespace agora::sim
