#include "agora/moe/classic/projection.h"

#include <cmath>

#include "agora/moe/classic/test_problems.h"
#include <gtest/gtest.h>

namespace agora::moe::classic {
namespace {

double column_mean_square(const Matrix& m, int64_t a, int64_t b) {
  double sum = 0.0;
  for (int64_t n = 0; n < m.rows; ++n) sum += m(n, a) * m(n, b) / static_cast<double>(m.rows);
  return sum;
}

TEST(Projection, StandardiseGivesUnitDeviation) {
  Rng rng(1);
  Examples e = random_examples(Task::classification, 50, 3, 2, rng);
  for (int64_t n = 0; n < 50; ++n) {
    e.x(n, 0) = 5.0 + 10.0 * e.x(n, 0);
    e.x(n, 2) = 0.1;  // constant, and not a binary fraction
  }
  const auto p = Projection::standardise(e);
  ASSERT_TRUE(p.ok());
  const Matrix z = p->apply(e.x);
  EXPECT_NEAR(column_mean_square(z, 0, 0), 1.0, 1e-12);
  EXPECT_NEAR(column_mean_square(z, 1, 1), 1.0, 1e-12);
  EXPECT_EQ(column_mean_square(z, 2, 2), 0.0);
}

TEST(Projection, CentreKeepsProportions) {
  Rng rng(1);
  Examples e = random_examples(Task::classification, 50, 2, 2, rng);
  const auto p = Projection::centre(e);
  ASSERT_TRUE(p.ok());
  const Matrix z = p->apply(e.x);
  EXPECT_NEAR((z(0, 0) - z(1, 0)) / (e.x(0, 0) - e.x(1, 0)), (z(0, 1) - z(1, 1)) / (e.x(0, 1) - e.x(1, 1)),
              1e-9);
  EXPECT_NEAR(column_mean_square(z, 0, 0) + column_mean_square(z, 1, 1), 2.0, 1e-9);
}

// Two classes parted along (1, -1) under noise along (1, 1): the first discriminant sees the first, not the
// second.
TEST(Projection, DiscriminantFindsTheDirectionThatParts) {
  Rng rng(2);
  Examples e{.x = Matrix(400, 2), .label = {}, .classes = 2};
  for (int64_t n = 0; n < 400; ++n) {
    const double side = n % 2 == 0 ? 1.0 : -1.0;
    const double along = 5.0 * rng.normal();
    e.label.push_back(n % 2);
    e.x(n, 0) = along + side + 0.1 * rng.normal();
    e.x(n, 1) = along - side + 0.1 * rng.normal();
  }
  const auto p = Projection::discriminants(e, 1, 0.0);
  ASSERT_TRUE(p.ok());
  const Matrix z = p->apply(e.x);
  int64_t right = 0;
  for (int64_t n = 0; n < 400; ++n) right += (z(n, 0) > 0.0) == (z(0, 0) > 0.0 ? n % 2 == 0 : n % 2 == 1);
  EXPECT_EQ(right, 400);
}

TEST(Projection, DiscriminantsWhitenTheSpreadWithin) {
  Rng rng(3);
  Examples e = random_examples(Task::classification, 300, 4, 1, rng);  // one class: within is all there is
  for (int64_t n = 0; n < 300; ++n) e.x(n, 1) += 3.0 * e.x(n, 0);
  const auto p = Projection::discriminants(e, 4, 0.0);
  ASSERT_TRUE(p.ok());
  const Matrix z = p->apply(e.x);
  for (int64_t a = 0; a < 4; ++a) {
    for (int64_t b = 0; b <= a; ++b) EXPECT_NEAR(column_mean_square(z, a, b), a == b ? 1.0 : 0.0, 1e-6);
  }
}

TEST(Projection, RefusesBadInput) {
  Rng rng(4);
  const Examples good = random_examples(Task::classification, 10, 2, 2, rng);
  EXPECT_FALSE(Projection::standardise(Examples{}).ok());
  EXPECT_FALSE(Projection::discriminants(good, 0, 0.0).ok());
  EXPECT_FALSE(Projection::discriminants(good, 3, 0.0).ok());
  EXPECT_FALSE(Projection::discriminants(good, 1, 1.5).ok());
  EXPECT_FALSE(Projection::discriminants(random_examples(Task::regression, 10, 2, 2, rng), 1, 0.0).ok());
}

}  // namespace
}  // namespace agora::moe::classic
