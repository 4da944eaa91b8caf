#include "agora/moe/classic/scaling.h"

#include <algorithm>
#include <cmath>

#include "agora/base/check.h"

namespace agora::moe::classic {

namespace {

std::vector<double> column_means(const Matrix& x) {
  std::vector<double> mean(x.cols, 0.0);
  for (int64_t n = 0; n < x.rows; ++n) add_scaled(1.0 / static_cast<double>(x.rows), x.row(n), mean);
  return mean;
}

}  // namespace

StatusOr<Scaling> Scaling::standardise(const Examples& train) {
  AGORA_RETURN_IF_ERROR(validate(train));
  Scaling scaling;
  scaling.mean_ = column_means(train.x);
  scaling.scale_.resize(train.width());
  for (int64_t i = 0; i < train.width(); ++i) {
    double variance = 0.0;
    for (int64_t n = 0; n < train.rows(); ++n) {
      const double offset = train.x(n, i) - scaling.mean_[i];
      variance += offset * offset / static_cast<double>(train.rows());
    }
    // The mean of equal numbers is off by some rounding, which must not be blown up to deviation 1.
    const double rounding = 1e-24 * scaling.mean_[i] * scaling.mean_[i];
    scaling.scale_[i] = variance > rounding ? 1.0 / std::sqrt(variance) : 0.0;
  }
  return scaling;
}

StatusOr<Scaling> Scaling::centre(const Examples& train) {
  AGORA_ASSIGN_OR_RETURN(Scaling scaling, standardise(train));
  double variance = 0.0;
  for (const double inverse : scaling.scale_) {
    if (inverse > 0.0) variance += 1.0 / (inverse * inverse) / static_cast<double>(train.width());
  }
  std::ranges::fill(scaling.scale_, variance > 0.0 ? 1.0 / std::sqrt(variance) : 0.0);
  return scaling;
}

Matrix Scaling::apply(const Matrix& x) const {
  AGORA_CHECK_EQ(x.cols, std::ssize(mean_));
  Matrix out(x.rows, x.cols);
  for (int64_t n = 0; n < x.rows; ++n) {
    for (int64_t i = 0; i < x.cols; ++i) out(n, i) = scale_[i] * (x(n, i) - mean_[i]);
  }
  return out;
}

}  // namespace agora::moe::classic
