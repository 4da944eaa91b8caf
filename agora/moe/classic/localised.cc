#include "agora/moe/classic/localised.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

#include "absl/strings/str_format.h"
#include "agora/base/check.h"
#include "agora/moe/classic/softmax.h"

namespace agora::moe::classic {

namespace {

double distance_squared(std::span<const double> a, std::span<const double> b) {
  double sum = 0.0;
  for (size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

// Rows drawn one after another with odds by their squared distance to the nearest drawn so far (Arthur &
// Vassilvitskii 2007); where all distances are 0, evenly.
std::vector<int64_t> spread_rows(const Matrix& x, int count, Rng& rng) {
  std::vector<double> nearest(x.rows, 1.0);
  std::vector<int64_t> chosen;
  while (static_cast<int>(chosen.size()) < count) {
    const double total = std::accumulate(nearest.begin(), nearest.end(), 0.0);
    int64_t row = rng.below(static_cast<uint32_t>(x.rows));
    if (total > 0.0) {
      double left = rng.uniform_double() * total;
      for (row = 0; row + 1 < x.rows && left >= nearest[row]; ++row) left -= nearest[row];
    }
    for (int64_t n = 0; n < x.rows; ++n) {
      const double d = distance_squared(x.row(n), x.row(row));
      nearest[n] = chosen.empty() ? d : std::min(nearest[n], d);
    }
    chosen.push_back(row);
  }
  return chosen;
}

Status validate_shape(const RegionShape& shape) {
  if (shape.experts < 1 || shape.experts > LocalisedMixture::kExpertsMax) {
    return absl::InvalidArgumentError(
        absl::StrFormat("experts must be 1 to %d, got %d", LocalisedMixture::kExpertsMax, shape.experts));
  }
  for (const double v : {shape.region_width, shape.region_strength}) {
    if (!(v > 0.0) || std::isinf(v)) {
      return absl::InvalidArgumentError(
          absl::StrFormat("region_width and region_strength must be finite and > 0, got %g", v));
    }
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<LocalisedMixture> LocalisedMixture::make(const Examples& examples, const RegionShape& shape,
                                                  Rng rng) {
  AGORA_RETURN_IF_ERROR(validate(examples));
  AGORA_RETURN_IF_ERROR(validate_shape(shape));
  LocalisedMixture m;
  m.shape_ = shape;
  const int64_t width = examples.width();
  for (const int64_t row : spread_rows(examples.x, shape.experts, rng)) {
    const auto at = examples.x.row(row);
    Region region{-std::log(shape.experts), {at.begin(), at.end()}, Matrix(width, width)};
    for (int64_t i = 0; i < width; ++i) region.factor(i, i) = shape.region_width;
    m.regions_.push_back(std::move(region));
  }
  m.experts_ = LinearExperts(shape.experts, examples.shape());
  return m;
}

Matrix LocalisedMixture::log_regions(const Matrix& x) const {
  AGORA_CHECK_EQ(x.cols, width());
  Matrix out(x.rows, experts());
  std::vector<double> offset(width());
  for (int64_t e = 0; e < experts(); ++e) {
    const Region& region = regions_[e];
    const double scale =
        region.log_share - 0.5 * (cholesky_log_determinant(region.factor) +
                                  static_cast<double>(width()) * std::log(2.0 * std::numbers::pi));
    for (int64_t n = 0; n < x.rows; ++n) {
      std::ranges::transform(x.row(n), region.centre, offset.begin(), std::minus<>());
      cholesky_solve_lower(region.factor, offset);
      out(n, e) = scale - 0.5 * dot(offset, offset);
    }
  }
  return out;
}

Matrix LocalisedMixture::log_joint(const Examples& examples) const {
  Matrix joint = log_regions(examples.x);
  experts_.add_log_densities(examples, joint);
  return joint;
}

// The posterior mode of centre and covariance. A region that no row wants keeps its centre.
void LocalisedMixture::fit_region(const Matrix& x, std::span<const double> weight, Region& region) const {
  const double total = std::accumulate(weight.begin(), weight.end(), 0.0);
  region.log_share =
      std::log(std::max(total / static_cast<double>(x.rows), std::numeric_limits<double>::min()));
  if (total > 1e-12) {
    std::ranges::fill(region.centre, 0.0);
    for (int64_t n = 0; n < x.rows; ++n) add_scaled(weight[n] / total, x.row(n), region.centre);
  }
  const double rows = total + shape_.region_strength;
  Matrix covariance(width(), width());
  std::vector<double> offset(width());
  for (int64_t n = 0; n < x.rows; ++n) {
    std::ranges::transform(x.row(n), region.centre, offset.begin(), std::minus<>());
    for (int64_t i = 0; i < width(); ++i) add_scaled(weight[n] / rows * offset[i], offset, covariance.row(i));
  }
  const double prior = shape_.region_strength / rows * shape_.region_width * shape_.region_width;
  for (int64_t i = 0; i < width(); ++i) covariance(i, i) += prior;
  if (cholesky_factor(covariance)) region.factor = std::move(covariance);
}

void LocalisedMixture::maximise(const Examples& examples, const Matrix& responsibility,
                                const EmSettings& settings) {
  for (int64_t e = 0; e < experts(); ++e) {
    fit_region(examples.x, column(responsibility, e), regions_[e]);
  }
  experts_.fit(examples, responsibility, settings.expert);
}

StatusOr<EmReport> LocalisedMixture::fit(const Examples& examples, const EmSettings& settings,
                                         const Examples* held_out) {
  AGORA_RETURN_IF_ERROR(classic::validate(settings));
  AGORA_RETURN_IF_ERROR(validate(examples, held_out, experts_.shape()));
  return run_em(*this, examples, held_out, settings, [&](double temperature) {
    Matrix joint = log_joint(examples);
    responsibilities(joint, temperature);
    maximise(examples, joint, settings);
  });
}

Matrix LocalisedMixture::predict(const Matrix& x) const {
  Matrix gate = log_regions(x);
  responsibilities(gate);
  return experts_.mix(gate, x);
}

Explanation LocalisedMixture::explain(const Examples& examples) const {
  Explanation why{log_regions(examples.x), log_joint(examples)};
  responsibilities(why.gate);
  responsibilities(why.responsibility);
  return why;
}

double LocalisedMixture::log_likelihood(const Examples& examples) const {
  Matrix joint = log_joint(examples);
  Matrix input = log_regions(examples.x);
  return responsibilities(joint) - responsibilities(input);
}

double LocalisedMixture::penalised(const Examples& examples, const EmSettings& settings) const {
  Matrix joint = log_joint(examples);
  double sum = responsibilities(joint);
  const double scatter = shape_.region_width * shape_.region_width;
  std::vector<double> unit(width());
  for (const Region& region : regions_) {
    double trace = 0.0;  // of the covariance's inverse
    for (int64_t i = 0; i < width(); ++i) {
      std::ranges::fill(unit, 0.0);
      unit[i] = 1.0;
      cholesky_solve_lower(region.factor, unit);
      trace += dot(unit, unit);
    }
    sum -= 0.5 * shape_.region_strength * (cholesky_log_determinant(region.factor) + scatter * trace);
  }
  return sum + experts_.log_prior(settings.expert.ridge);
}

int64_t LocalisedMixture::parameters() const {
  return experts() * (1 + width() + width() * (width() + 1) / 2) + experts_.parameters();
}

}  // namespace agora::moe::classic
