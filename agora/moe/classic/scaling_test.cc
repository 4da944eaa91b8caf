#include "agora/moe/classic/scaling.h"

#include "agora/moe/classic/test_problems.h"
#include <gtest/gtest.h>

namespace agora::moe::classic {
namespace {

double mean_square(const Matrix& m, int64_t column) {
  double sum = 0.0;
  for (int64_t n = 0; n < m.rows; ++n) sum += m(n, column) * m(n, column) / static_cast<double>(m.rows);
  return sum;
}

TEST(Scaling, StandardiseGivesUnitDeviation) {
  Rng rng(1);
  Examples e = random_examples(Task::classification, 50, 3, 2, rng);
  for (int64_t n = 0; n < 50; ++n) {
    e.x(n, 0) = 5.0 + 10.0 * e.x(n, 0);
    e.x(n, 2) = 0.1;  // constant, and not a binary fraction
  }
  const auto p = Scaling::standardise(e);
  ASSERT_TRUE(p.ok());
  const Matrix z = p->apply(e.x);
  EXPECT_NEAR(mean_square(z, 0), 1.0, 1e-12);
  EXPECT_NEAR(mean_square(z, 1), 1.0, 1e-12);
  EXPECT_EQ(mean_square(z, 2), 0.0);
}

TEST(Scaling, CentreKeepsProportions) {
  Rng rng(1);
  Examples e = random_examples(Task::classification, 50, 2, 2, rng);
  const auto p = Scaling::centre(e);
  ASSERT_TRUE(p.ok());
  const Matrix z = p->apply(e.x);
  EXPECT_NEAR((z(0, 0) - z(1, 0)) / (e.x(0, 0) - e.x(1, 0)), (z(0, 1) - z(1, 1)) / (e.x(0, 1) - e.x(1, 1)),
              1e-9);
  EXPECT_NEAR(mean_square(z, 0) + mean_square(z, 1), 2.0, 1e-9);
}

TEST(Scaling, RefusesBadInput) { EXPECT_FALSE(Scaling::standardise(Examples{}).ok()); }

}  // namespace
}  // namespace agora::moe::classic
