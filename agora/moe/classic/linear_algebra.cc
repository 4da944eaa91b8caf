#include "agora/moe/classic/linear_algebra.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "agora/base/check.h"

namespace agora::moe::classic {

namespace {

// Jacobi converges quadratically; matrices of some hundred rows need fewer than ten sweeps.
constexpr int kSweepsMax = 60;

// Zeroes a(p, q) by a rotation of rows and columns p and q, and turns the rows of `vectors` with it.
void rotate(Matrix& a, Matrix& vectors, int64_t p, int64_t q) {
  if (a(p, q) == 0.0) return;
  const double theta = (a(q, q) - a(p, p)) / (2.0 * a(p, q));
  const double t = std::copysign(1.0, theta) / (std::abs(theta) + std::sqrt(theta * theta + 1.0));
  const double c = 1.0 / std::sqrt(t * t + 1.0);
  const double s = t * c;
  for (int64_t k = 0; k < a.rows; ++k) {
    const double kp = a(k, p), kq = a(k, q);
    a(k, p) = c * kp - s * kq;
    a(k, q) = s * kp + c * kq;
  }
  for (int64_t k = 0; k < a.rows; ++k) {
    const double pk = a(p, k), qk = a(q, k);
    a(p, k) = c * pk - s * qk;
    a(q, k) = s * pk + c * qk;
    const double vp = vectors(p, k), vq = vectors(q, k);
    vectors(p, k) = c * vp - s * vq;
    vectors(q, k) = s * vp + c * vq;
  }
}

double off_diagonal(const Matrix& a) {
  double sum = 0.0;
  for (int64_t r = 0; r < a.rows; ++r) {
    for (int64_t c = 0; c < r; ++c) sum += a(r, c) * a(r, c);
  }
  return sum;
}

}  // namespace

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

SymmetricEigen symmetric_eigen(Matrix a) {
  AGORA_CHECK_EQ(a.rows, a.cols);
  const int64_t n = a.rows;
  Matrix vectors(n, n);
  double norm = 0.0;
  for (int64_t i = 0; i < n; ++i) vectors(i, i) = 1.0;
  for (const double v : a.values) norm += v * v;
  for (int sweep = 0; sweep < kSweepsMax && off_diagonal(a) > 1e-28 * norm; ++sweep) {
    for (int64_t p = 0; p < n; ++p) {
      for (int64_t q = p + 1; q < n; ++q) rotate(a, vectors, p, q);
    }
  }
  std::vector<int64_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t i, int64_t j) { return a(i, i) > a(j, j); });
  SymmetricEigen eigen{{}, Matrix(n, n)};
  for (int64_t i = 0; i < n; ++i) {
    eigen.values.push_back(a(order[i], order[i]));
    const auto from = vectors.row(order[i]);
    const double largest = *std::max_element(from.begin(), from.end(),
                                             [](double x, double y) { return std::abs(x) < std::abs(y); });
    add_scaled(largest < 0.0 ? -1.0 : 1.0, from, eigen.vectors.row(i));
  }
  return eigen;
}

}  // namespace agora::moe::classic
