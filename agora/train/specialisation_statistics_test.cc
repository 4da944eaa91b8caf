#include "agora/train/specialisation_statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <initializer_list>

namespace agora::train {
namespace {

Table table(int64_t rows, int64_t cols, std::initializer_list<double> cells) {
  Table t(rows, cols);
  t.cells = cells;
  return t;
}

TEST(EntropyBits, LiesBetweenZeroAndLogOfTheCount) {
  EXPECT_EQ(entropy_bits({}), 0);
  EXPECT_EQ(entropy_bits(std::vector<double>{0, 0}), 0);
  EXPECT_EQ(entropy_bits(std::vector<double>{5, 0, 0}), 0);
  EXPECT_DOUBLE_EQ(entropy_bits(std::vector<double>{3, 3, 3, 3}), 2);
  EXPECT_NEAR(entropy_bits(std::vector<double>{0.5, 0.25, 0.25}), 1.5, 1e-12);
}

TEST(MutualInformationBits, IsZeroWhereRowsTellNothing) {
  EXPECT_EQ(mutual_information_bits(Table(3, 2)), 0);
  EXPECT_EQ(mutual_information_bits(Table()), 0);
  EXPECT_NEAR(mutual_information_bits(table(2, 3, {1, 2, 3, 10, 20, 30})), 0, 1e-12);
}

TEST(MutualInformationBits, IsTheEntropyWhereRowsTellAll) {
  EXPECT_NEAR(mutual_information_bits(table(4, 4, {7, 0, 0, 0, 0, 7, 0, 0, 0, 0, 7, 0, 0, 0, 0, 7})), 2,
              1e-12);
  EXPECT_NEAR(mutual_information_bits(table(3, 2, {4, 0, 0, 4, 4, 0})),
              entropy_bits(std::vector<double>{8, 4}), 1e-12);
}

TEST(MutualInformationBits, OfAKnownTable) {
  // A symmetric channel that flips one bit in four: 1 - H(1/4).
  const double expected = 1 - entropy_bits(std::vector<double>{0.25, 0.75});
  EXPECT_NEAR(mutual_information_bits(table(2, 2, {3, 1, 1, 3})), expected, 1e-12);
}

// `blocks` blocks of `size` choices each; expert_of(domain, rng) chooses.
template <class ExpertOf>
std::vector<CountBlock> make_blocks(int blocks, int size, int experts, int domains, ExpertOf expert_of) {
  Rng rng(7);
  std::vector<CountBlock> out;
  for (int b = 0; b < blocks; ++b) {
    CountBlock block{.domain = b % domains, .choices = std::vector<uint32_t>(experts)};
    for (int i = 0; i < size; ++i) ++block.choices[expert_of(block.domain, rng)];
    out.push_back(block);
  }
  return out;
}

TEST(MutualInformation, NullShowsThatChanceIsChance) {
  const auto blocks = make_blocks(60, 20, 8, 3, [](int, Rng& rng) { return rng.below(8); });
  const MutualInformation mi = mutual_information(blocks, 8, 3, 200, Rng(1));
  EXPECT_GT(mi.bits, 0);  // the plain estimate alone would mislead
  EXPECT_NEAR(mi.bits, mi.null_mean_bits, 0.01);
  EXPECT_GT(mi.p_value, 0.05);
  EXPECT_EQ(mi.blocks, 60);
}

TEST(MutualInformation, NullIsFarBelowRealSpecialisation) {
  const auto blocks = make_blocks(60, 20, 8, 3, [](int domain, Rng& rng) {
    return rng.below(2) == 0 ? static_cast<uint32_t>(domain) : rng.below(8);
  });
  const MutualInformation mi = mutual_information(blocks, 8, 3, 200, Rng(1));
  EXPECT_GT(mi.bits, 3 * mi.null_q95_bits);
  EXPECT_NEAR(mi.p_value, 1.0 / 201, 1e-12);
  EXPECT_GT(mi.normalised, 0.1);
  EXPECT_LT(mi.normalised, 1);
}

// Each sequence has an expert of its own, whatever its domain. Were single tokens shuffled, this would look
// like specialisation; shuffling sequences shows that it is not.
TEST(MutualInformation, NullKeepsTheTokensOfASequenceTogether) {
  Rng rng(3);
  std::vector<CountBlock> blocks;
  for (int b = 0; b < 30; ++b) {
    CountBlock block{.domain = b % 3, .choices = std::vector<uint32_t>(8)};
    block.choices[rng.below(8)] = 1000;
    blocks.push_back(block);
  }
  const MutualInformation mi = mutual_information(blocks, 8, 3, 200, Rng(1));
  EXPECT_GT(mi.bits, 0.1);
  EXPECT_GT(mi.null_q95_bits, 0.1);
  EXPECT_GT(mi.p_value, 0.05);
}

TEST(MutualInformation, OneBlockADomainProvesNothing) {
  const auto blocks = make_blocks(3, 100, 3, 3, [](int domain, Rng&) { return domain; });
  const MutualInformation mi = mutual_information(blocks, 3, 3, 50, Rng(1));
  EXPECT_NEAR(mi.bits, std::log2(3), 1e-12);
  EXPECT_NEAR(mi.normalised, 1, 1e-12);
  EXPECT_DOUBLE_EQ(mi.p_value, 1);
}

TEST(MutualInformation, OfNothing) {
  const MutualInformation mi = mutual_information({}, 4, 2, 20, Rng(1));
  EXPECT_EQ(mi.bits, 0);
  EXPECT_EQ(mi.normalised, 0);
  EXPECT_DOUBLE_EQ(mi.p_value, 1);
}

TEST(BalanceOf, KnownLoads) {
  const Balance even = balance_of(std::vector<int64_t>{5, 5, 5, 5});
  EXPECT_DOUBLE_EQ(even.load_entropy, 2);
  EXPECT_DOUBLE_EQ(even.load_entropy_max, 2);
  EXPECT_DOUBLE_EQ(even.max_violation, 0);
  EXPECT_DOUBLE_EQ(even.variation, 0);
  const Balance collapsed = balance_of(std::vector<int64_t>{8, 0, 0, 0});
  EXPECT_DOUBLE_EQ(collapsed.load_entropy, 0);
  EXPECT_DOUBLE_EQ(collapsed.max_violation, 3);
  EXPECT_NEAR(collapsed.variation, std::sqrt(3), 1e-12);
  EXPECT_EQ(balance_of({}).max_violation, 0);
  EXPECT_EQ(balance_of(std::vector<int64_t>{0, 0}).variation, 0);
}

TEST(TogetherLift, IsOneForATop2GateThatPairsAtRandom) {
  // 4 experts, every pair 10 times: each expert was chosen 30 times.
  const Table lift =
      together_lift(table(4, 4, {30, 10, 10, 10, 10, 30, 10, 10, 10, 10, 30, 10, 10, 10, 10, 30}));
  for (const double cell : lift.cells) EXPECT_NEAR(cell, 1, 1e-12);
}

TEST(TogetherLift, ShowsPairsThatGoTogether) {
  const Table lift = together_lift(table(4, 4, {30, 30, 0, 0, 30, 30, 0, 0, 0, 0, 30, 30, 0, 0, 30, 30}));
  EXPECT_NEAR(lift.at(0, 1), 3, 1e-12);
  EXPECT_NEAR(lift.at(0, 2), 0, 1e-12);
  for (const double cell : together_lift(Table(2, 2)).cells) EXPECT_EQ(cell, 1);
}

}  // namespace
}  // namespace agora::train
