#include "agora/moe/classic/hierarchical.h"

#include <limits>

#include "agora/moe/classic/localised.h"
#include "agora/moe/classic/test_problems.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agora::moe::classic {
namespace {

TEST(HierarchicalMixture, FindsTheTwoLines) {
  Rng rng(1);
  const Examples train = two_lines(200, 0.02, rng);
  const Examples test = two_lines(200, 0.0, rng);
  auto tree = HierarchicalMixture::make(train, {.branching = {2}}, Rng(4));
  ASSERT_TRUE(tree.ok());
  ASSERT_TRUE(tree->fit(train, {.iterations_max = 200}).ok());
  EXPECT_LT(mean_squared_error(tree->predict(test.x), test.d), 1e-3);
  // Which expert handled what: one the left, the other the right.
  const Explanation why = tree->explain(train);
  int64_t parted = 0;
  const bool first_is_left = why.responsibility(0, 0) > 0.5 ? train.x(0, 0) < 0 : train.x(0, 0) > 0;
  for (int64_t n = 0; n < train.rows(); ++n)
    parted += (train.x(n, 0) < 0) == first_is_left ? why.responsibility(n, 0) > 0.5
                                                   : why.responsibility(n, 1) > 0.5;
  EXPECT_GT(parted, train.rows() * 9 / 10);
}

TEST(HierarchicalMixture, OneExpertIsLeastSquares) {
  Rng rng(2);
  Examples train{.x = Matrix(30, 2), .d = Matrix(30, 1)};
  for (double& v : train.x.values) v = rng.normal();
  for (int64_t n = 0; n < 30; ++n) train.d(n, 0) = 3.0 * train.x(n, 0) - 2.0 * train.x(n, 1) + 0.5;
  auto tree = HierarchicalMixture::make(train, {.branching = {1}}, Rng(4));
  ASSERT_TRUE(tree.ok());
  ASSERT_TRUE(tree->fit(train, {}).ok());
  EXPECT_LT(mean_squared_error(tree->predict(train.x), train.d), 1e-12);
}

TEST(HierarchicalMixture, SameSeedSameMixture) {
  Rng rng(3);
  const Examples train = random_examples(Task::classification, 50, 3, 3, rng);
  Matrix first;
  for (const uint64_t seed : {9u, 9u, 10u}) {
    auto tree = HierarchicalMixture::make(train, {.branching = {2, 2}}, Rng(seed));
    ASSERT_TRUE(tree.ok());
    ASSERT_TRUE(tree->fit(train, {.iterations_max = 5}).ok());
    const Matrix answer = tree->predict(train.x);
    if (first.rows == 0) first = answer;
    EXPECT_EQ(first == answer, seed == 9);
  }
}

// One class, a constant column, equal rows, a single row: odd, but no reason to fail or to answer NaN.
TEST(HierarchicalMixture, TakesDegenerateRows) {
  Rng rng(4);
  std::vector<Examples> problems;
  problems.push_back(random_examples(Task::classification, 20, 2, 1, rng));
  problems.push_back(random_examples(Task::classification, 20, 2, 3, rng));
  for (int64_t n = 0; n < 20; ++n) problems.back().x(n, 1) = 7.0;
  problems.push_back(random_examples(Task::regression, 20, 2, 2, rng));
  for (int64_t n = 0; n < 20; ++n) {
    std::ranges::copy(problems.back().x.row(0), problems.back().x.row(n).begin());
    std::ranges::copy(problems.back().d.row(0), problems.back().d.row(n).begin());
  }
  problems.push_back(random_examples(Task::regression, 1, 1, 1, rng));
  for (const Examples& e : problems) {
    auto tree = HierarchicalMixture::make(e, {.branching = {2, 2}}, Rng(1));
    auto local = LocalisedMixture::make(e, {.experts = 4}, Rng(1));
    ASSERT_TRUE(tree.ok() && local.ok());
    ASSERT_TRUE(tree->fit(e, {.iterations_max = 20}).ok());
    ASSERT_TRUE(local->fit(e, {.iterations_max = 20}).ok());
    for (const double v : tree->predict(e.x).values) EXPECT_TRUE(std::isfinite(v));
    for (const double v : local->predict(e.x).values) EXPECT_TRUE(std::isfinite(v));
  }
}

TEST(HierarchicalMixture, RefusesBadInput) {
  Rng rng(5);
  const Examples good = random_examples(Task::classification, 10, 2, 3, rng);
  EXPECT_EQ(HierarchicalMixture::make(Examples{}, {}, Rng(1)).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(HierarchicalMixture::make(good, {.branching = {}}, Rng(1)).ok());
  EXPECT_FALSE(HierarchicalMixture::make(good, {.branching = {0}}, Rng(1)).ok());
  EXPECT_FALSE(
      HierarchicalMixture::make(good, {.branching = {4096, 4096, 4096, 4096, 4096, 4096}}, Rng(1)).ok());
  EXPECT_FALSE(LocalisedMixture::make(good, {.experts = 0}, Rng(1)).ok());
  EXPECT_FALSE(LocalisedMixture::make(good, {.region_width = 0.0}, Rng(1)).ok());

  Examples unlabelled = good;
  unlabelled.label[3] = 3;
  EXPECT_THAT(std::string(validate(unlabelled).message()), testing::HasSubstr("row 3"));
  Examples broken = good;
  broken.x(4, 1) = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(std::string(validate(broken).message()), testing::HasSubstr("row 4"));

  auto tree = HierarchicalMixture::make(good, {}, Rng(1));
  ASSERT_TRUE(tree.ok());
  const Examples wider = random_examples(Task::classification, 10, 3, 3, rng);
  EXPECT_FALSE(tree->fit(wider, {}).ok());
  EXPECT_FALSE(tree->fit(good, {}, &wider).ok());
  auto local = LocalisedMixture::make(good, {}, Rng(1));
  ASSERT_TRUE(local.ok());
  const Examples numbers = random_examples(Task::regression, 10, 2, 3, rng);  // as many, and no labels
  EXPECT_THAT(std::string(tree->fit(numbers, {}).status().message()), testing::HasSubstr("3 classes"));
  EXPECT_THAT(std::string(local->fit(numbers, {}).status().message()), testing::HasSubstr("3 numbers"));
}

}  // namespace
}  // namespace agora::moe::classic
