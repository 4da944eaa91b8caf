#include "agora/moe/classic/linear_algebra.h"

#include <cmath>
#include <limits>

#include "agora/base/rng.h"
#include <gtest/gtest.h>

namespace agora::moe::classic {
namespace {

// A A^T + I / 10: symmetric, positive definite.
Matrix random_definite(int64_t n, Rng& rng) {
  Matrix a(n, n);
  for (double& v : a.values) v = rng.normal();
  Matrix product(n, n);
  for (int64_t r = 0; r < n; ++r) {
    for (int64_t c = 0; c < n; ++c) product(r, c) = dot(a.row(r), a.row(c)) + (r == c ? 0.1 : 0.0);
  }
  return product;
}

TEST(Cholesky, SolvesWhatItFactored) {
  Rng rng(1);
  for (const int64_t n : {1, 2, 3, 8, 33}) {
    const Matrix a = random_definite(n, rng);
    std::vector<double> x(n), b(n);
    for (double& v : x) v = rng.normal();
    for (int64_t r = 0; r < n; ++r) b[r] = dot(a.row(r), x);
    Matrix factor = a;
    ASSERT_TRUE(cholesky_factor(factor));
    cholesky_solve(factor, b);
    for (int64_t i = 0; i < n; ++i) EXPECT_NEAR(b[i], x[i], 1e-8);
  }
}

TEST(Cholesky, RefusesWhatIsNotDefinite) {
  Matrix singular(2, 2, 1.0);
  EXPECT_FALSE(cholesky_factor(singular));
  Matrix broken(2, 2, std::numeric_limits<double>::quiet_NaN());
  EXPECT_FALSE(cholesky_factor(broken));
}

TEST(Cholesky, KnowsTheDeterminant) {
  Matrix a(2, 2);
  a(0, 0) = 4;
  a(1, 0) = a(0, 1) = 2;
  a(1, 1) = 3;
  ASSERT_TRUE(cholesky_factor(a));
  EXPECT_NEAR(cholesky_log_determinant(a), std::log(4.0 * 3 - 2 * 2), 1e-12);
}

}  // namespace
}  // namespace agora::moe::classic
