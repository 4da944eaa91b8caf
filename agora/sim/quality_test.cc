#include "agora/sim/quality.h"

#include <vector>

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
  std::vector<double> dead;  // as many as there are, not as was asked for
  for (const QualityPoint& point : curve->hosts_dead) dead.push_back(point.share);
  EXPECT_EQ(dead, (std::vector<double>{0, 0.5}));
}

}  // namespace
}  // namespace agora::sim
