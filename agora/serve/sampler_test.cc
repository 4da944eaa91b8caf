#include "agora/serve/sampler.h"

#include <array>

#include <gtest/gtest.h>

namespace agora::serve {
namespace {

TEST(Sampler, TemperatureZeroTakesTheBestAndTheLowerNumberOnATie) {
  Sampler sampler({.temperature = 0});
  EXPECT_EQ(sampler.sample(std::array{0.5f, 2.0f, 2.0f}, {}), 1);
}

TEST(Sampler, SameSeedSameTokens) {
  const std::array logits{0.1f, 0.2f, 0.3f, 0.4f};
  Sampler a({.temperature = 1, .seed = 5});
  Sampler b({.temperature = 1, .seed = 5});
  for (int i = 0; i < 100; ++i) EXPECT_EQ(a.sample(logits, {}), b.sample(logits, {}));
}

TEST(Sampler, GoesOnWhereAnotherWas) {
  const std::array logits{0.1f, 0.2f, 0.3f, 0.4f};
  Sampler a({.temperature = 1, .seed = 5});
  Sampler b({.temperature = 1, .seed = 5});
  for (int i = 0; i < 10; ++i) a.sample(logits, {});
  b.skip(10);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(a.sample(logits, {}), b.sample(logits, {}));
}

TEST(Sampler, DrawsInProportion) {
  Sampler sampler({.temperature = 1});
  const std::array logits{std::log(0.7f), std::log(0.3f)};
  int first = 0;
  for (int i = 0; i < 10000; ++i) first += sampler.sample(logits, {}) == 0;
  EXPECT_NEAR(first, 7000, 250);  // five standard deviations
}

TEST(Sampler, TopKAndTopPCutTheTail) {
  const std::array logits{std::log(0.5f), std::log(0.3f), std::log(0.2f)};
  Sampler top_k({.temperature = 1, .top_k = 2});
  Sampler top_p({.temperature = 1, .top_p = 0.6f});
  for (int i = 0; i < 1000; ++i) {
    EXPECT_NE(top_k.sample(logits, {}), 2);
    EXPECT_NE(top_p.sample(logits, {}), 2);
  }
}

TEST(Sampler, RepetitionPenaltyTurnsAwayFromWhatWasSaid) {
  Sampler sampler({.temperature = 0, .repetition_penalty = 2.0f});
  EXPECT_EQ(sampler.sample(std::array{1.0f, 0.9f}, std::array{0}), 1);
  EXPECT_EQ(sampler.sample(std::array{-1.0f, -1.5f}, std::array{0}), 1);
}

TEST(Sampler, RefusesSettingsOutOfRange) {
  EXPECT_FALSE(validate(SamplerSettings{.temperature = -1}).ok());
  EXPECT_FALSE(validate(SamplerSettings{.top_p = 0}).ok());
  EXPECT_FALSE(validate(SamplerSettings{.top_k = -1}).ok());
  EXPECT_FALSE(validate(SamplerSettings{.repetition_penalty = 0.5f}).ok());
  EXPECT_TRUE(validate(SamplerSettings{}).ok());
}

TEST(Sampler, NamesASettingAsItWasGiven) {
  const SamplerSettings settings{.top_p = 0};
  EXPECT_EQ(validate(settings).message(), "ask: top_p: expected above 0, at most 1, found 0");
  EXPECT_EQ(validate(settings, Spelling::flag).message(), "--top-p: expected above 0, at most 1, found 0");
}

}  // namespace
}  // namespace agora::serve
