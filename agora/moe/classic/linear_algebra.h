// Small dense f64 matrices and what the classic mixtures ask of them: products, Cholesky.
//
//   Matrix a(3, 3);  a(0, 1) = 2;  std::span<double> row = a.row(0);
//   if (!cholesky_factor(a)) ...;  cholesky_solve(a, b);
//
// For problems of some hundred unknowns: plain loops, no blocking. Value types; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace agora::moe::classic {

// Row-major [rows, cols].
struct Matrix {
  int64_t rows = 0;
  int64_t cols = 0;
  std::vector<double> values;

  Matrix() = default;
  Matrix(int64_t rows_in, int64_t cols_in, double fill = 0.0)
      : rows(rows_in), cols(cols_in), values(static_cast<size_t>(rows_in * cols_in), fill) {}

  double& operator()(int64_t r, int64_t c) { return values[static_cast<size_t>(r * cols + c)]; }
  double operator()(int64_t r, int64_t c) const { return values[static_cast<size_t>(r * cols + c)]; }
  std::span<double> row(int64_t r) { return std::span(values).subspan(r * cols, cols); }
  std::span<const double> row(int64_t r) const { return std::span(values).subspan(r * cols, cols); }
  friend bool operator==(const Matrix&, const Matrix&) = default;
};

std::vector<double> column(const Matrix& m, int64_t c);

double dot(std::span<const double> a, std::span<const double> b);

// y += scale * x
void add_scaled(double scale, std::span<const double> x, std::span<double> y);

// Replaces the lower triangle of the symmetric a [n, n] by L with L L^T = a; the upper one is not read or
// written. False where a is not positive definite (or holds a NaN); a is spoilt then. n^3 / 6 multiply-adds.
[[nodiscard]] bool cholesky_factor(Matrix& a);

// b [n] becomes the solution of L L^T x = b.
void cholesky_solve(const Matrix& factor, std::span<double> b);

// b [n] becomes the solution of L x = b; its squared length is the Mahalanobis distance of b under L L^T.
void cholesky_solve_lower(const Matrix& factor, std::span<double> b);

// log |L L^T|
double cholesky_log_determinant(const Matrix& factor);

}  // namespace agora::moe::classic
