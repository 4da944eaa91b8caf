#include "agora/moe/classic/linear_algebra.h"

#include <cmath>

#include "agora/base/check.h"

namespace agora::moe::classic {

std::vector<double> column(const Matrix& m, int64_t c) {
  std::vector<double> out(m.rows);
  for (int64_t r = 0; r < m.rows; ++r) out[r] = m(r, c);
  return out;
}

double dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0.0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

void add_scaled(double scale, std::span<const double> x, std::span<double> y) {
  for (size_t i = 0; i < x.size(); ++i) y[i] += scale * x[i];
}

bool cholesky_factor(Matrix& a) {
  AGORA_CHECK_EQ(a.rows, a.cols);
  for (int64_t r = 0; r < a.rows; ++r) {
    for (int64_t c = 0; c <= r; ++c) {
      const double rest = a(r, c) - dot(a.row(r).first(c), a.row(c).first(c));
      if (c < r) {
        a(r, c) = rest / a(c, c);
      } else if (rest > 0.0) {  // false for a NaN, too
        a(r, r) = std::sqrt(rest);
      } else {
        return false;
      }
    }
  }
  return true;
}

void cholesky_solve_lower(const Matrix& factor, std::span<double> b) {
  AGORA_CHECK_EQ(static_cast<int64_t>(b.size()), factor.rows);
  for (int64_t r = 0; r < factor.rows; ++r) {
    b[r] = (b[r] - dot(factor.row(r).first(r), b.first(r))) / factor(r, r);
  }
}

void cholesky_solve(const Matrix& factor, std::span<double> b) {
  cholesky_solve_lower(factor, b);
  for (int64_t r = factor.rows - 1; r >= 0; --r) {
    b[r] /= factor(r, r);
    add_scaled(-b[r], factor.row(r).first(r), b.first(r));
  }
}

double cholesky_log_determinant(const Matrix& factor) {
  double sum = 0.0;
  for (int64_t r = 0; r < factor.rows; ++r) sum += std::log(factor(r, r));
  return 2.0 * sum;
}

}  // namespace agora::moe::classic
