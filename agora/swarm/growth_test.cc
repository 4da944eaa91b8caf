#include "agora/swarm/growth.h"

#include <cmath>

#include "agora/moe/gate/descriptor.h"
#include <gmock/gmock.h>

namespace agora::swarm {
namespace {

using moe::kClosed;

const ExpertName kNew{LayerId{0}, ExpertId{8}}, kNewer{LayerId{0}, ExpertId{9}};

Census led(int32_t count) {
  Census census;
  for (int32_t e = 0; e < count; ++e) census.led.insert({LayerId{0}, ExpertId{e}});
  return census;
}

class GrowthTest : public testing::Test {
 protected:
  std::vector<ExpertName> validate(double loss, int64_t step) {
    return growth.on_validation(loss, step, Decides::yes);
  }
  Growth growth{8, {.tied_steps = 20, .ramp_steps = 80}};
};

TEST_F(GrowthTest, TiesANewExpertThenRampsItUp) {
  EXPECT_EQ(growth.bias(kNew, 0), kClosed);
  EXPECT_FALSE(growth.tied(kNew, 0));
  growth.on_census(led(9), 1000);
  EXPECT_EQ(growth.bias(kNew, 1000), kClosed);
  EXPECT_TRUE(growth.tied(kNew, 1020));
  EXPECT_EQ(growth.bias(kNew, 1020), kClosed);
  EXPECT_FALSE(growth.tied(kNew, 1021));
  EXPECT_NEAR(growth.bias(kNew, 1060), -std::sqrt(1e-3), 1e-6);
  for (int64_t step = 1020; step < 1100; ++step) {
    EXPECT_LT(growth.bias(kNew, step), growth.bias(kNew, step + 1));
  }
  EXPECT_EQ(growth.bias(kNew, 1100), 0.0f);
  EXPECT_EQ(growth.bias(kNew, 5000), 0.0f);
  EXPECT_EQ(growth.bias({LayerId{0}, ExpertId{7}}, 1000), 0.0f);
  EXPECT_EQ(growth.bias({LayerId{1}, ExpertId{8}}, 5000), kClosed);
}

TEST_F(GrowthTest, KnowsWhoseCopyItIs) {
  Census census = led(10);
  census.sources[kNewer] = ExpertId{3};
  growth.on_census(census, 5);
  EXPECT_EQ(growth.source(kNew), std::nullopt);
  EXPECT_EQ(growth.source(kNewer), ExpertId{3});
}

TEST_F(GrowthTest, WhoIsInStaysWhenItsLeaderIsAwayWhoIsNotBeginsAnew) {
  growth.on_census(led(9), 1000);
  growth.on_census(led(8), 1050);
  EXPECT_EQ(growth.bias(kNew, 1099), kClosed);
  growth.on_census(led(9), 2000);
  EXPECT_EQ(growth.bias(kNew, 2010), kClosed);
  growth.on_census(led(8), 2100);
  EXPECT_EQ(growth.bias(kNew, 2101), 0.0f);
}

TEST_F(GrowthTest, WhatIsRetiredIsClosedAtOnceForEver) {
  growth.on_census(led(9), 1000);
  Census census = led(9);
  census.retired = {kNew, {LayerId{0}, ExpertId{2}}};
  growth.on_census(census, 1500);
  EXPECT_EQ(growth.bias(kNew, 1500), kClosed);
  EXPECT_EQ(growth.bias({LayerId{0}, ExpertId{2}}, 1500), kClosed);
  growth.on_census(led(9), 1600);
  EXPECT_EQ(growth.bias(kNew, 5000), kClosed);
}

TEST_F(GrowthTest, ATrunkSaysHowFarInAnExpertIs) {
  growth.on_census(led(9), 1000);
  for (const int64_t step : {1030, 1060, 1095, 1200}) {
    Growth late{8, {.tied_steps = 20, .ramp_steps = 80}};
    late.on_trunk(kNew, growth.bias(kNew, step), step);
    late.on_trunk(kNewer, kClosed, step);
    EXPECT_NEAR(late.bias(kNew, step), growth.bias(kNew, step), 0.05f * -growth.bias(kNew, step));
    EXPECT_FALSE(late.tied(kNew, step));
    EXPECT_EQ(late.bias(kNewer, step + 100), kClosed);
  }
}

TEST_F(GrowthTest, WhatATrunkHasClosedOfTheFirstStaysClosed) {
  const ExpertName gone{LayerId{0}, ExpertId{2}};
  growth.on_trunk(gone, kClosed, 1000);
  growth.on_trunk({LayerId{0}, ExpertId{3}}, 0.0f, 1000);
  growth.on_census(led(8), 1000);  // of hosts that have forgotten it
  EXPECT_EQ(growth.bias(gone, 5000), kClosed);
  EXPECT_EQ(growth.bias({LayerId{0}, ExpertId{3}}, 5000), 0.0f);
}

TEST_F(GrowthTest, UndoesItWhenTheLossWorsensTwice) {
  validate(2.0, 900);
  growth.on_census(led(9), 1000);
  EXPECT_TRUE(validate(2.1, 1040).empty());
  EXPECT_THAT(validate(2.1, 1080), testing::ElementsAre(kNew));
  EXPECT_TRUE(growth.undone(kNew));
  EXPECT_EQ(growth.bias(kNew, 5000), kClosed);
  EXPECT_TRUE(validate(2.5, 1120).empty());  // once
  EXPECT_THAT(growth.to_retire(), testing::ElementsAre(kNew));
  growth.on_census(led(8), 1200);
  growth.on_census(led(9), 1300);
  EXPECT_TRUE(growth.undone(kNew));
  Census census = led(9);
  census.retired = {kNew};
  growth.on_census(census, 1400);
  EXPECT_TRUE(growth.to_retire().empty());
  EXPECT_EQ(growth.bias(kNew, 5000), kClosed);
}

TEST_F(GrowthTest, WhoDoesNotDecideWatchesOnly) {
  growth.on_validation(2.0, 900, Decides::no);
  growth.on_census(led(9), 1000);
  for (int64_t step = 1010; step < 1090; step += 10) {
    EXPECT_TRUE(growth.on_validation(2.1, step, Decides::no).empty());
  }
  EXPECT_FALSE(growth.undone(kNew));
  EXPECT_THAT(validate(2.1, 1090), testing::ElementsAre(kNew));
}

// The model went on learning while the expert was still closed.
TEST_F(GrowthTest, ComparesWithTheLastLossesBeforeItOpened) {
  validate(3.0, 900);
  growth.on_census(led(9), 1000);
  for (const double loss : {2.1, 2.0, 1.9, 2.0}) validate(loss, 1010);
  EXPECT_TRUE(validate(2.03, 1040).empty());
  EXPECT_THAT(validate(2.03, 1045), testing::ElementsAre(kNew));
}

TEST_F(GrowthTest, ASingleBadValidationIsForgiven) {
  validate(2.0, 900);
  growth.on_census(led(9), 1000);
  for (const double loss : {2.1, 1.99, 2.1, 2.0, 2.1, 1.9, 1.9}) EXPECT_TRUE(validate(loss, 1090).empty());
}

TEST_F(GrowthTest, AfterTheRampItIsWatchedForAWhileOnly) {
  validate(2.0, 900);
  growth.on_census(led(9), 1000);
  validate(1.9, 1120);
  validate(1.9, 1170);
  EXPECT_TRUE(growth.watches(1170)) << "its rows may come later than its bias";
  validate(1.9, 1200);
  validate(1.9, 1300);
  EXPECT_FALSE(growth.watches(1300));
  validate(3.0, 1400);
  EXPECT_TRUE(validate(3.0, 1500).empty());
}

TEST_F(GrowthTest, AsLongAsNoRowComesToItNothingIsItsDoing) {
  validate(2.0, 900);
  growth.on_census(led(9), 1000);
  const auto idle = [&](double loss, int64_t step) {
    return growth.on_validation(loss, step, Decides::yes, {kNew});
  };
  for (const double loss : {2.5, 2.5, 1.9, 1.8, 1.8, 1.8, 1.8}) EXPECT_TRUE(idle(loss, 1500).empty());
  EXPECT_TRUE(growth.watches(1500)) << "it has not been seen at work";
  EXPECT_TRUE(validate(1.85, 1510).empty());
  EXPECT_THAT(validate(1.85, 1520), testing::ElementsAre(kNew)) << "against the losses just before its rows";
}

TEST_F(GrowthTest, TheYoungestGoesFirst) {
  validate(2.0, 900);
  growth.on_census(led(9), 1000);
  growth.on_census(led(10), 1010);
  validate(NAN, 1040);
  EXPECT_THAT(validate(NAN, 1050), testing::ElementsAre(kNewer));
  EXPECT_FALSE(growth.undone(kNew));
}

// Steps that break are tried again as long as a newcomer may be why: this ends.
TEST_F(GrowthTest, WatchesThoseWhoAreOpenUntilTheyAreUndoneOrTrusted) {
  growth.on_census(led(10), 1000);
  EXPECT_FALSE(growth.watches(1020)) << "what is closed breaks nothing";
  int64_t tries = 0;
  for (; growth.watches(1030) && tries < 10; ++tries) validate(NAN, 1030);
  EXPECT_EQ(tries, 4);
  EXPECT_TRUE(growth.undone(kNew));
  EXPECT_TRUE(growth.undone(kNewer));
}

}  // namespace
}  // namespace agora::swarm
