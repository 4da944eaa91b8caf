// What exact EM promises of both mixtures that are trained by it.
#include "agora/moe/classic/em.h"

#include <numeric>

#include "agora/moe/classic/hierarchical.h"
#include "agora/moe/classic/localised.h"
#include "agora/moe/classic/test_problems.h"
#include <gtest/gtest.h>

namespace agora::moe::classic {
namespace {

void expect_never_falls(const EmReport& report, const std::string& what) {
  for (size_t i = 1; i < report.objective.size(); ++i) {
    const double slack = 1e-9 * (1.0 + std::abs(report.objective[i - 1]));
    ASSERT_GE(report.objective[i], report.objective[i - 1] - slack) << what << ", iteration " << i;
  }
}

EmSettings random_settings(Rng& rng) {
  EmSettings settings;
  settings.iterations_max = 25;
  settings.tolerance = 0.0;
  settings.expert.ridge = rng.below(2) == 0 ? 0.0 : 2.0 * rng.uniform_double();
  settings.gate.ridge = rng.below(2) == 0 ? 0.0 : 2.0 * rng.uniform_double();
  settings.expert.steps_max = 1 + static_cast<int>(rng.below(5));
  settings.gate.steps_max = 1 + static_cast<int>(rng.below(5));
  return settings;
}

Examples random_problem(Rng& rng) {
  const Task task = rng.below(2) == 0 ? Task::regression : Task::classification;
  return random_examples(task, 5 + rng.below(60), 1 + rng.below(4), 1 + rng.below(4), rng);
}

TEST(ExactEm, TreeLikelihoodNeverFalls) {
  for (uint64_t seed = 0; seed < 150; ++seed) {
    Rng rng(seed);
    const Examples examples = random_problem(rng);
    TreeShape shape{.branching = std::vector<int>(1 + rng.below(3)), .spread = 2.0 * rng.uniform_double()};
    for (int& branches : shape.branching) branches = 1 + static_cast<int>(rng.below(3));
    auto tree = HierarchicalMixture::make(examples, shape, rng.fork("tree"));
    ASSERT_TRUE(tree.ok()) << tree.status();
    const auto report = tree->fit(examples, random_settings(rng));
    ASSERT_TRUE(report.ok()) << report.status();
    expect_never_falls(*report, "seed " + std::to_string(seed));
  }
}

TEST(ExactEm, LocalisedLikelihoodNeverFalls) {
  for (uint64_t seed = 0; seed < 150; ++seed) {
    Rng rng(seed);
    const Examples examples = random_problem(rng);
    const RegionShape shape{.experts = 1 + static_cast<int>(rng.below(5)),
                            .region_width = 0.2 + rng.uniform_double(),
                            .region_strength = 0.5 + 20.0 * rng.uniform_double()};
    auto mixture = LocalisedMixture::make(examples, shape, rng.fork("mixture"));
    ASSERT_TRUE(mixture.ok()) << mixture.status();
    const auto report = mixture->fit(examples, random_settings(rng));
    ASSERT_TRUE(report.ok()) << report.status();
    expect_never_falls(*report, "seed " + std::to_string(seed));
  }
}

TEST(ExactEm, AnnealingEndsInExactEm) {
  Rng rng(7);
  const Examples examples = random_examples(Task::classification, 80, 3, 3, rng);
  auto tree = HierarchicalMixture::make(examples, {.branching = {3}}, Rng(1));
  ASSERT_TRUE(tree.ok());
  const EmSettings settings{
      .iterations_max = 40, .tolerance = 0.0, .temperature_first = 4.0, .temperature_factor = 0.5};
  const auto report = tree->fit(examples, settings);
  ASSERT_TRUE(report.ok());
  for (size_t i = 4; i < report->objective.size(); ++i) {  // 4, 2, 1: exact from the third iteration on
    EXPECT_GE(report->objective[i],
              report->objective[i - 1] - 1e-9 * (1.0 + std::abs(report->objective[i - 1])));
  }
}

TEST(Responsibilities, SumToOneAndSharpenGates) {
  Rng rng(3);
  const Examples examples = random_examples(Task::classification, 60, 3, 4, rng);
  auto tree = HierarchicalMixture::make(examples, {.branching = {2, 3}}, Rng(3));
  auto local = LocalisedMixture::make(examples, {.experts = 5}, Rng(3));
  ASSERT_TRUE(tree.ok() && local.ok());
  ASSERT_TRUE(tree->fit(examples, {.iterations_max = 5}).ok());
  ASSERT_TRUE(local->fit(examples, {.iterations_max = 5}).ok());
  for (const Explanation& why : {tree->explain(examples), local->explain(examples)}) {
    for (int64_t n = 0; n < examples.rows(); ++n) {
      for (const auto& shares : {why.gate.row(n), why.responsibility.row(n)}) {
        EXPECT_NEAR(std::accumulate(shares.begin(), shares.end(), 0.0), 1.0, 1e-12);
      }
    }
  }
}

TEST(EarlyStopping, KeepsTheBestOnTheHeldOutRows) {
  Rng rng(11);
  const Examples examples = random_examples(Task::classification, 40, 4, 3, rng);
  const Examples held_out = random_examples(Task::classification, 40, 4, 3, rng);
  auto tree = HierarchicalMixture::make(examples, {.branching = {4}}, Rng(5));
  ASSERT_TRUE(tree.ok());
  const auto report = tree->fit(examples, {.iterations_max = 60}, &held_out);
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(tree->log_likelihood(held_out), report->held_out[report->iteration_best]);
  EXPECT_EQ(report->held_out[report->iteration_best], *std::ranges::max_element(report->held_out));
}

TEST(EmSettings, RefusesWhatMakesNoSense) {
  EXPECT_FALSE(validate(EmSettings{.expert = {.ridge = -1.0}}).ok());
  EXPECT_FALSE(validate(EmSettings{.temperature_first = 0.5}).ok());
  EXPECT_FALSE(validate(EmSettings{.temperature_factor = 1.0}).ok());
  EXPECT_FALSE(validate(EmSettings{.patience = 0}).ok());
  EXPECT_TRUE(validate(EmSettings{}).ok());
}

}  // namespace
}  // namespace agora::moe::classic
