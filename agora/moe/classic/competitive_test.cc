#include "agora/moe/classic/competitive.h"

#include <numeric>

#include "agora/moe/classic/test_problems.h"
#include <gtest/gtest.h>

namespace agora::moe::classic {
namespace {

struct Case {
  Task task;
  Loss loss;
  int experts;
  int expert_hidden;
  int gate_hidden;
};

class CompetitiveGradient : public testing::TestWithParam<Case> {};

TEST_P(CompetitiveGradient, EqualsFiniteDifferences) {
  const Case& c = GetParam();
  Rng rng(17);
  const Examples examples = random_examples(c.task, 7, 3, 3, rng);
  const MixtureShape shape{c.experts, c.expert_hidden, c.gate_hidden, c.loss};
  auto mixture = CompetitiveMixture::make(examples, shape, Rng(2));
  ASSERT_TRUE(mixture.ok()) << mixture.status();
  std::vector<double> w(mixture->weights().begin(), mixture->weights().end());
  for (double& v : w) v += 0.3 * rng.normal();
  std::vector<double> gradient(w.size(), 0.0);
  mixture->loss(examples, w, gradient);
  for (size_t i = 0; i < w.size(); ++i) {
    constexpr double kStep = 1e-5;
    const double held = w[i];
    w[i] = held + kStep;
    const double above = mixture->loss(examples, w, {});
    w[i] = held - kStep;
    const double below = mixture->loss(examples, w, {});
    w[i] = held;
    EXPECT_NEAR(gradient[i], (above - below) / (2.0 * kStep), 1e-6 * (1.0 + std::abs(gradient[i])))
        << "weight " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(All, CompetitiveGradient,
                         testing::Values(Case{Task::regression, Loss::competitive, 3, 0, 0},
                                         Case{Task::regression, Loss::competitive, 2, 4, 3},
                                         Case{Task::regression, Loss::cooperative, 3, 0, 0},
                                         Case{Task::regression, Loss::cooperative, 2, 4, 3},
                                         Case{Task::classification, Loss::competitive, 3, 0, 0},
                                         Case{Task::classification, Loss::competitive, 2, 4, 3},
                                         Case{Task::classification, Loss::cooperative, 3, 0, 0},
                                         Case{Task::classification, Loss::cooperative, 2, 4, 3},
                                         Case{Task::classification, Loss::competitive, 1, 4, 0}));

TEST(CompetitiveMixture, FindsTheTwoLines) {
  constexpr uint64_t kSeed =
      1;  // from some starts one expert wins every row and gradient descent stays there
  Rng rng(1);
  Examples train = two_lines(200, 0.005, rng);
  Examples test = two_lines(200, 0.0, rng);
  // The loss of 1991 has experts of deviation 1, so the lines must be steep against that to be told apart.
  for (Examples* e : {&train, &test}) {
    for (double& v : e->d.values) v *= 20.0;
  }
  auto mixture = CompetitiveMixture::make(train, {.experts = 2}, Rng(kSeed));
  ASSERT_TRUE(mixture.ok());
  const auto report = mixture->fit(train, {.search = {.iterations_max = 500}});
  ASSERT_TRUE(report.ok());
  EXPECT_TRUE(std::ranges::is_sorted(report->value, std::greater<>()));
  EXPECT_LT(mean_squared_error(mixture->predict(test.x), test.d), 0.01);
}

// Mean squared error where only the expert that the gate trusts most answers.
double error_of_best_expert(const CompetitiveMixture& mixture, const Examples& examples) {
  const Explanation why = mixture.explain(examples);
  std::vector<Matrix> answers;
  for (int64_t e = 0; e < mixture.experts(); ++e) answers.push_back(mixture.predict_expert(e, examples.x));
  double sum = 0.0;
  for (int64_t n = 0; n < examples.rows(); ++n) {
    const auto gate = why.gate.row(n);
    const auto best = std::ranges::max_element(gate) - gate.begin();
    const double error = answers[best](n, 0) - examples.d(n, 0);
    sum += error * error;
  }
  return sum / static_cast<double>(examples.rows());
}

// Jacobs 1991: competing experts answer by themselves, cooperating ones only make sense together.
TEST(CompetitiveMixture, CompetitionPartsTheExperts) {
  Rng rng(1);
  Examples train = two_lines(200, 0.005, rng);
  for (double& v : train.d.values) v *= 20.0;
  std::vector<double> error[2];
  for (const Loss loss : {Loss::competitive, Loss::cooperative}) {
    for (uint64_t seed = 0; seed < 5; ++seed) {
      auto mixture = CompetitiveMixture::make(train, {.experts = 4, .loss = loss}, Rng(seed));
      ASSERT_TRUE(mixture.ok());
      ASSERT_TRUE(mixture->fit(train, {.search = {.iterations_max = 300}}).ok());
      error[static_cast<int>(loss)].push_back(error_of_best_expert(*mixture, train));
    }
  }
  for (std::vector<double>& e : error) std::ranges::sort(e);
  EXPECT_LT(error[0][2], 0.1 * error[1][2]);  // the middle of five starts
}

TEST(CompetitiveMixture, ResponsibilitiesSumToOne) {
  Rng rng(3);
  const Examples examples = random_examples(Task::classification, 40, 3, 4, rng);
  auto mixture =
      CompetitiveMixture::make(examples, {.experts = 5, .expert_hidden = 3, .gate_hidden = 2}, Rng(3));
  ASSERT_TRUE(mixture.ok());
  ASSERT_TRUE(mixture->fit(examples, {.search = {.iterations_max = 20}, .expert_decay = 0.1}).ok());
  const Explanation why = mixture->explain(examples);
  const Matrix answer = mixture->predict(examples.x);
  for (int64_t n = 0; n < examples.rows(); ++n) {
    for (const auto& shares : {why.gate.row(n), why.responsibility.row(n), answer.row(n)}) {
      EXPECT_NEAR(std::accumulate(shares.begin(), shares.end(), 0.0), 1.0, 1e-12);
    }
  }
}

TEST(CompetitiveMixture, SameSeedSameMixture) {
  Rng rng(3);
  const Examples train = random_examples(Task::classification, 50, 3, 3, rng);
  Matrix first;
  for (const uint64_t seed : {9u, 9u, 10u}) {
    auto mixture = CompetitiveMixture::make(train, {.experts = 2, .expert_hidden = 2}, Rng(seed));
    ASSERT_TRUE(mixture.ok());
    ASSERT_TRUE(mixture->fit(train, {.search = {.iterations_max = 10}}).ok());
    const Matrix answer = mixture->predict(train.x);
    if (first.rows == 0) first = answer;
    EXPECT_EQ(first == answer, seed == 9);
  }
}

TEST(CompetitiveMixture, EarlyStoppingKeepsTheBest) {
  Rng rng(5);
  const Examples train = random_examples(Task::classification, 30, 4, 3, rng);
  const Examples held_out = random_examples(Task::classification, 60, 4, 3, rng);
  auto mixture = CompetitiveMixture::make(train, {.experts = 3, .expert_hidden = 6}, Rng(1));
  ASSERT_TRUE(mixture.ok());
  const double before = mixture->loss(held_out, mixture->weights(), {});
  ASSERT_TRUE(mixture->fit(train, {.search = {.iterations_max = 300}, .patience = 10}, &held_out).ok());
  EXPECT_LT(mixture->loss(held_out, mixture->weights(), {}), before);
  EXPECT_GT(mixture->loss(train, mixture->weights(), {}),
            0.1);  // it stopped before it knew the rows by heart
}

TEST(CompetitiveMixture, OneExpertIsASingleNetwork) {
  Rng rng(6);
  const Examples train = random_examples(Task::classification, 50, 3, 3, rng);
  auto mixture =
      CompetitiveMixture::make(train, {.experts = 1, .expert_hidden = 5, .gate_hidden = 9}, Rng(1));
  ASSERT_TRUE(mixture.ok());
  EXPECT_EQ(mixture->parameters(), 5 * (3 + 1) + 3 * (5 + 1));
}

TEST(CompetitiveMixture, RefusesBadInput) {
  Rng rng(5);
  const Examples good = random_examples(Task::regression, 10, 2, 3, rng);
  EXPECT_FALSE(CompetitiveMixture::make(Examples{}, {}, Rng(1)).ok());
  EXPECT_FALSE(CompetitiveMixture::make(good, {.experts = 0}, Rng(1)).ok());
  EXPECT_FALSE(CompetitiveMixture::make(good, {.expert_hidden = -1}, Rng(1)).ok());
  EXPECT_FALSE(CompetitiveMixture::make(good, {.experts = 1 << 20, .expert_hidden = 1 << 20}, Rng(1)).ok());
  auto mixture = CompetitiveMixture::make(good, {}, Rng(1));
  ASSERT_TRUE(mixture.ok());
  EXPECT_FALSE(mixture->fit(random_examples(Task::classification, 10, 2, 3, rng), {}).ok());
  EXPECT_FALSE(mixture->fit(good, {.expert_decay = -1.0}).ok());
}

}  // namespace
}  // namespace agora::moe::classic
