#include "agora/moe/classic/projection.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "agora/base/check.h"

namespace agora::moe::classic {

namespace {

// Added to the diagonal of a covariance, relative to it, so that constant and duplicate columns keep it
// definite.
constexpr double kDiagonalFloor = 1e-9;

std::vector<double> column_means(const Matrix& x) {
  std::vector<double> mean(x.cols, 0.0);
  for (int64_t n = 0; n < x.rows; ++n) add_scaled(1.0 / static_cast<double>(x.rows), x.row(n), mean);
  return mean;
}

// sum += scale * v v^T
void add_outer(double scale, std::span<const double> v, Matrix& sum) {
  for (size_t i = 0; i < v.size(); ++i) add_scaled(scale * v[i], v, sum.row(static_cast<int64_t>(i)));
}

struct Scatter {
  Matrix within;   // [D, D] mean covariance within the classes
  Matrix between;  // [D, D] covariance of the class means
};

Scatter class_scatter(const Examples& train, std::span<const double> mean) {
  const int64_t width = train.width();
  Matrix centre(train.classes, width);
  std::vector<double> count(train.classes, 0.0);
  for (int64_t n = 0; n < train.rows(); ++n) {
    add_scaled(1.0, train.x.row(n), centre.row(train.label[n]));
    count[train.label[n]] += 1.0;
  }
  Scatter scatter{Matrix(width, width), Matrix(width, width)};
  const double share = 1.0 / static_cast<double>(train.rows());
  std::vector<double> offset(width);
  for (int64_t c = 0; c < train.classes; ++c) {
    if (count[c] == 0.0) continue;
    for (double& v : centre.row(c)) v /= count[c];
    std::ranges::transform(centre.row(c), mean, offset.begin(), std::minus<>());
    add_outer(share * count[c], offset, scatter.between);
  }
  for (int64_t n = 0; n < train.rows(); ++n) {
    std::ranges::transform(train.x.row(n), centre.row(train.label[n]), offset.begin(), std::minus<>());
    add_outer(share, offset, scatter.within);
  }
  return scatter;
}

void shrink_to_diagonal(double shrinkage, Matrix& covariance) {
  double largest = 0.0;
  for (int64_t i = 0; i < covariance.rows; ++i) largest = std::max(largest, covariance(i, i));
  const double floor = largest > 0.0 ? kDiagonalFloor * largest : 1.0;
  for (int64_t r = 0; r < covariance.rows; ++r) {
    for (int64_t c = 0; c < covariance.cols; ++c) {
      if (r != c) covariance(r, c) *= 1.0 - shrinkage;
    }
    covariance(r, r) += floor;
  }
}

// The rows of W with W within W^T = 1: each eigenvector over the root of its eigenvalue.
Matrix whitener(const Matrix& within) {
  SymmetricEigen eigen = symmetric_eigen(within);
  for (int64_t i = 0; i < within.rows; ++i) {
    for (double& v : eigen.vectors.row(i)) v /= std::sqrt(std::max(eigen.values[i], 1e-300));
  }
  return std::move(eigen.vectors);
}

// a b^T for row-major a [n, k], b [m, k]
Matrix times_transposed(const Matrix& a, const Matrix& b) {
  AGORA_CHECK_EQ(a.cols, b.cols);
  Matrix product(a.rows, b.rows);
  for (int64_t r = 0; r < a.rows; ++r) {
    for (int64_t c = 0; c < b.rows; ++c) product(r, c) = dot(a.row(r), b.row(c));
  }
  return product;
}

}  // namespace

StatusOr<Projection> Projection::standardise(const Examples& train) {
  AGORA_RETURN_IF_ERROR(validate(train));
  Projection p;
  p.mean_ = column_means(train.x);
  p.direction_ = Matrix(train.width(), train.width());
  for (int64_t i = 0; i < train.width(); ++i) {
    double variance = 0.0;
    for (int64_t n = 0; n < train.rows(); ++n) {
      const double offset = train.x(n, i) - p.mean_[i];
      variance += offset * offset / static_cast<double>(train.rows());
    }
    // The mean of equal numbers is off by some rounding, which must not be blown up to deviation 1.
    const double rounding = 1e-24 * p.mean_[i] * p.mean_[i];
    p.direction_(i, i) = variance > rounding ? 1.0 / std::sqrt(variance) : 0.0;
  }
  return p;
}

StatusOr<Projection> Projection::centre(const Examples& train) {
  AGORA_ASSIGN_OR_RETURN(Projection p, standardise(train));
  double variance = 0.0;
  for (int64_t i = 0; i < train.width(); ++i) {
    const double inverse = p.direction_(i, i);
    if (inverse > 0.0) variance += 1.0 / (inverse * inverse) / static_cast<double>(train.width());
  }
  for (int64_t i = 0; i < train.width(); ++i)
    p.direction_(i, i) = variance > 0.0 ? 1.0 / std::sqrt(variance) : 0.0;
  return p;
}

StatusOr<Projection> Projection::discriminants(const Examples& train, int64_t dimensions, double shrinkage) {
  AGORA_RETURN_IF_ERROR(validate(train));
  if (train.task() != Task::classification)
    return absl::InvalidArgumentError("discriminants need classes, got targets");
  if (dimensions < 1 || dimensions > train.width()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("discriminants: expected 1 to %d dimensions, got %d", train.width(), dimensions));
  }
  if (!(shrinkage >= 0.0 && shrinkage <= 1.0)) {
    return absl::InvalidArgumentError(absl::StrFormat("shrinkage must be in [0, 1], got %g", shrinkage));
  }
  Projection p;
  p.mean_ = column_means(train.x);
  Scatter scatter = class_scatter(train, p.mean_);
  shrink_to_diagonal(shrinkage, scatter.within);
  const Matrix white = whitener(scatter.within);
  // The class means' covariance in white coordinates; its eigenvectors are the discriminants there.
  const Matrix turned = times_transposed(times_transposed(white, scatter.between), white);
  Matrix between(turned.rows, turned.cols);
  for (int64_t r = 0; r < turned.rows; ++r) {
    for (int64_t c = 0; c < turned.cols; ++c) between(r, c) = 0.5 * (turned(r, c) + turned(c, r));
  }
  const SymmetricEigen eigen = symmetric_eigen(std::move(between));
  p.direction_ = Matrix(dimensions, train.width());
  for (int64_t i = 0; i < dimensions; ++i) {
    for (int64_t k = 0; k < white.rows; ++k)
      add_scaled(eigen.vectors(i, k), white.row(k), p.direction_.row(i));
  }
  return p;
}

Matrix Projection::apply(const Matrix& x) const {
  AGORA_CHECK_EQ(x.cols, direction_.cols);
  Matrix out(x.rows, dimensions());
  std::vector<double> offset(x.cols);
  for (int64_t n = 0; n < x.rows; ++n) {
    std::ranges::transform(x.row(n), mean_, offset.begin(), std::minus<>());
    for (int64_t i = 0; i < dimensions(); ++i) out(n, i) = dot(direction_.row(i), offset);
  }
  return out;
}

}  // namespace agora::moe::classic
