#include "agora/swarm/growth.h"

#include <cmath>

#include <gmock/gmock.h>

namespace agora::swarm {
namespace {

const ExpertName kNew{LayerId{0}, ExpertId{8}}, kNewer{LayerId{0}, ExpertId{9}};

std::vector<ExpertId> led(int64_t count) {
  std::vector<ExpertId> all;
  for (int64_t e = 0; e < count; ++e) all.push_back(ExpertId{e});
  return all;
}

class GrowthTest : public testing::Test {
 protected:
  Growth growth{8, {.ramp_steps = 100}};
};

TEST_F(GrowthTest, RampsANewExpertUp) {
  EXPECT_EQ(growth.bias(kNew, 0), -1.0f);
  growth.on_experts(LayerId{0}, led(9), 1000);
  EXPECT_EQ(growth.bias(kNew, 1000), -1.0f);
  EXPECT_EQ(growth.bias(kNew, 1050), -0.5f);
  EXPECT_EQ(growth.bias(kNew, 1100), 0.0f);
  EXPECT_EQ(growth.bias(kNew, 5000), 0.0f);
  EXPECT_EQ(growth.bias({LayerId{0}, ExpertId{7}}, 1000), 0.0f);
  EXPECT_EQ(growth.bias({LayerId{1}, ExpertId{8}}, 5000), -1.0f);
}

TEST_F(GrowthTest, UndoesItWhenTheLossWorsensTwice) {
  growth.on_validation(2.0, 900);
  growth.on_experts(LayerId{0}, led(9), 1000);
  EXPECT_TRUE(growth.on_validation(2.1, 1040).empty());
  EXPECT_THAT(growth.on_validation(2.1, 1080), testing::ElementsAre(kNew));
  EXPECT_TRUE(growth.undone(kNew));
  EXPECT_EQ(growth.bias(kNew, 5000), -1.0f);
  EXPECT_TRUE(growth.on_validation(2.5, 1120).empty());  // named once
  growth.on_experts(LayerId{0}, led(8), 1200);
  growth.on_experts(LayerId{0}, led(9), 1300);
  EXPECT_TRUE(growth.undone(kNew));
}

TEST_F(GrowthTest, ASingleBadValidationIsForgiven) {
  growth.on_validation(2.0, 900);
  growth.on_experts(LayerId{0}, led(9), 1000);
  for (const double loss : {2.1, 1.99, 2.1, 2.0, 2.1, 1.9, 1.9})
    EXPECT_TRUE(growth.on_validation(loss, 1090).empty());
}

TEST_F(GrowthTest, AfterTheRampItIsWatchedForAWhileOnly) {
  growth.on_validation(2.0, 900);
  growth.on_experts(LayerId{0}, led(9), 1000);
  growth.on_validation(1.9, 1200);
  growth.on_validation(1.9, 1300);
  growth.on_validation(3.0, 1400);
  EXPECT_TRUE(growth.on_validation(3.0, 1500).empty());
}

TEST_F(GrowthTest, TheYoungestGoesFirst) {
  growth.on_validation(2.0, 900);
  growth.on_experts(LayerId{0}, led(9), 1000);
  growth.on_experts(LayerId{0}, led(10), 1010);
  growth.on_validation(NAN, 1020);
  EXPECT_THAT(growth.on_validation(NAN, 1030), testing::ElementsAre(kNewer));
  EXPECT_FALSE(growth.undone(kNew));
}

}  // namespace
}  // namespace agora::swarm
