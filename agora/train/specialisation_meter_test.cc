#include "agora/train/specialisation_meter.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace agora::train {
namespace {

std::vector<ExpertWeight> choose(int64_t a, float weight_a, int64_t b, float weight_b) {
  return {{ExpertId{a}, weight_a}, {ExpertId{b}, weight_b}};
}

TEST(SpecialisationMeter, CountsByHand) {
  SpecialisationMeter meter({.layers = 1, .experts = 3, .domains = 2, .vocab = 4});
  const SequenceId first = meter.add_sequence(0);
  const SequenceId second = meter.add_sequence(1);
  meter.observe(LayerId{0}, first, 0, choose(0, 0.75f, 1, 0.25f));
  meter.observe(LayerId{0}, first, 1, choose(1, 0.5f, 0, 0.5f));
  meter.observe(LayerId{0}, second, 2, choose(1, 1.0f, 2, 0.0f));
  meter.observe(LayerId{0}, second, 3, {});
  const LayerSpecialisation layer = meter.specialisation(Rng(1)).layers[0];

  EXPECT_EQ(layer.tokens, 4);
  EXPECT_EQ(layer.choices, 6);
  EXPECT_DOUBLE_EQ(layer.load[0], 2.0 / 6);
  EXPECT_DOUBLE_EQ(layer.load[1], 3.0 / 6);
  EXPECT_DOUBLE_EQ(layer.mass_share.at(0, 0), 1.25 / 2);
  EXPECT_DOUBLE_EQ(layer.mass_share.at(1, 1), 1);
  EXPECT_DOUBLE_EQ(layer.token_share.at(0, 0), 1);
  EXPECT_DOUBLE_EQ(layer.token_share.at(1, 1), 0.5);
  EXPECT_EQ(layer.together.at(0, 0), 2);
  EXPECT_EQ(layer.together.at(0, 1), 2);
  EXPECT_EQ(layer.together.at(1, 0), 2);
  EXPECT_EQ(layer.together.at(1, 2), 1);
  EXPECT_EQ(layer.together.at(0, 2), 0);
  const double entropy = (entropy_bits(std::vector<double>{0.75, 0.25}) + 1 + 0) / 3;
  EXPECT_NEAR(layer.balance.token_entropy, entropy, 1e-6);
  EXPECT_DOUBLE_EQ(layer.balance.max_violation, 0.5);
}

// Closed experts, and those that need no call, are not what the others should be as busy as.
TEST(SpecialisationMeter, BalanceIsThatOfTheExpertsNamed) {
  SpecialisationMeter meter(
      {.layers = 1, .experts = 5, .domains = 1, .vocab = 0, .balanced = {{ExpertId{0}, ExpertId{2}}}});
  const SequenceId sequence = meter.add_sequence(0);
  for (const int64_t other : {0, 2}) {
    for (int i = 0; i < 3; ++i) meter.observe(LayerId{0}, sequence, kNoToken, choose(other, 0.5f, 4, 0.5f));
  }
  const LayerSpecialisation layer = meter.specialisation(Rng(1)).layers[0];
  EXPECT_DOUBLE_EQ(layer.balance.max_violation, 0);
  EXPECT_DOUBLE_EQ(layer.balance.variation, 0);
  EXPECT_DOUBLE_EQ(layer.balance.load_entropy, 1);
  EXPECT_DOUBLE_EQ(layer.balance.load_entropy_max, 1);
  EXPECT_DOUBLE_EQ(layer.load[4], 0.5);
}

TEST(SpecialisationMeter, NothingSeenGivesZeroesNotNan) {
  SpecialisationMeter meter({.layers = 2, .experts = 3, .domains = 2, .vocab = 4});
  const Specialisation s = meter.specialisation(Rng(1));
  ASSERT_EQ(s.layers.size(), 2u);
  EXPECT_EQ(s.layers[0].tokens, 0);
  for (const double share : s.layers[0].mass_share.cells) EXPECT_EQ(share, 0);
  for (const double share : s.layers[0].load) EXPECT_EQ(share, 0);
}

TEST(SpecialisationMeter, WeightsThatAreNoNumberCountAsNone) {
  SpecialisationMeter meter({.layers = 1, .experts = 2, .domains = 1, .vocab = 1});
  const SequenceId sequence = meter.add_sequence(0);
  meter.observe(LayerId{0}, sequence, 0, choose(0, std::numeric_limits<float>::quiet_NaN(), 1, 1.0f));
  const LayerSpecialisation layer = meter.specialisation(Rng(1)).layers[0];
  EXPECT_DOUBLE_EQ(layer.mass_share.at(0, 0), 0);
  EXPECT_DOUBLE_EQ(layer.mass_share.at(1, 0), 1);
  EXPECT_DOUBLE_EQ(layer.balance.token_entropy, 0);
}

TEST(SpecialisationMeter, RowsNeedNotBeTokens) {
  SpecialisationMeter meter({.layers = 1, .experts = 2, .domains = 1, .vocab = 0});
  const SequenceId sequence = meter.add_sequence(0);
  for (int i = 0; i < 5; ++i) meter.observe(LayerId{0}, sequence, kNoToken, choose(0, 0.5f, 1, 0.5f));
  const LayerSpecialisation layer = meter.specialisation(Rng(1)).layers[0];
  EXPECT_EQ(layer.tokens, 5);
  EXPECT_TRUE(layer.top_tokens[0].empty());
}

TEST(SpecialisationMeter, BlocksStayWithinTheirLimit) {
  // 1 layer x 4 experts x 2 domains with room for 24 counts: 3 blocks a domain.
  SpecialisationMeter meter({.layers = 1, .experts = 4, .domains = 2, .vocab = 1}, 24);
  for (int s = 0; s < 50; ++s) {
    for (int domain = 0; domain < 2; ++domain) {
      const SequenceId sequence = meter.add_sequence(domain);
      meter.observe(LayerId{0}, sequence, 0, choose(domain, 1, 2, 1));
    }
  }
  const LayerSpecialisation layer = meter.specialisation(Rng(1)).layers[0];
  EXPECT_EQ(layer.information.blocks, 6);
  EXPECT_EQ(layer.tokens, 100);
  EXPECT_NEAR(layer.information.bits, 0.5, 1e-12);  // half of the choices tell the domain
}

TEST(SpecialisationMeter, SameDataSameAnswer) {
  const auto run = [] {
    SpecialisationMeter meter({.layers = 2, .experts = 4, .domains = 2, .vocab = 8});
    Rng rng(5);
    for (int s = 0; s < 20; ++s) {
      const SequenceId sequence = meter.add_sequence(s % 2);
      for (int t = 0; t < 10; ++t) {
        for (int l = 0; l < 2; ++l) {
          meter.observe(LayerId{l}, sequence, static_cast<int32_t>(rng.below(8)),
                        choose(rng.below(2), 1, 2 + rng.below(2), 1));
        }
      }
    }
    return meter.specialisation(Rng(9)).layers[1].information;
  };
  EXPECT_EQ(run().null_mean_bits, run().null_mean_bits);
  EXPECT_EQ(run().p_value, run().p_value);
}

TEST(TopTokens, RanksByWhatTellsAnExpertApart) {
  TopTokens counts(1, 4);
  for (int i = 0; i < 50; ++i) counts.add(0, 0);  // everywhere: says little of this expert
  for (int i = 0; i < 40; ++i) counts.add(0, 1);  // nearly all here
  counts.add(0, 2);                               // rare: below kCountMin
  const std::vector<uint32_t> totals = {500, 44, 1, 455};
  const std::vector<TopToken> top = counts.top(0, totals, 10);
  ASSERT_EQ(top.size(), 2u);
  EXPECT_EQ(top[0].token, 1);
  EXPECT_EQ(top[0].count, 40);
  EXPECT_NEAR(top[0].lift, 40.0 / 91 / (44.0 / 1000), 1e-9);
  EXPECT_EQ(top[1].token, 0);
  EXPECT_EQ(counts.top(0, totals, 1).size(), 1u);
}

TEST(TopTokens, SketchFindsWhatIsFrequentAndNeverCountsTooMuch) {
  constexpr int kVocab = 5000;
  TopTokens exact(1, kVocab);
  TopTokens sketch(1, kVocab, 0);
  EXPECT_TRUE(exact.exact());
  EXPECT_FALSE(sketch.exact());
  std::vector<uint32_t> seen(kVocab);
  std::vector<uint32_t> totals(kVocab, 1000);
  Rng rng(2);
  for (int i = 0; i < 20000; ++i) {
    const auto token = static_cast<int32_t>(i % 5 == 0 ? rng.below(4) : rng.below(kVocab));
    exact.add(0, token);
    sketch.add(0, token);
    ++seen[token];
  }
  const std::vector<TopToken> want = exact.top(0, totals, 4);
  const std::vector<TopToken> got = sketch.top(0, totals, 4);
  ASSERT_EQ(got.size(), 4u);
  for (const TopToken& token : got) {
    EXPECT_LT(token.token, 4);
    EXPECT_LE(token.count, seen[token.token]);
    EXPECT_GT(token.count, 0.9 * seen[token.token]);
  }
  for (const TopToken& token : want) EXPECT_EQ(token.count, seen[token.token]);
}

}  // namespace
}  // namespace agora::train
