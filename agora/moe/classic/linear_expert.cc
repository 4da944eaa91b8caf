#include "agora/moe/classic/linear_expert.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

#include "agora/base/check.h"
#include "agora/moe/classic/softmax.h"

namespace agora::moe::classic {

namespace {

// Newton's system is made definite by this much of its mean diagonal: softmax weights are free up to a common
// shift, and separable classes flatten the objective.
constexpr double kDampingFirst = 1e-9;
constexpr double kDampingLast = 1e9;
constexpr double kDampingRaise = 30.0;

// Rows whose weight is below this share of the heaviest are left out of the Newton system (not of the
// objective, which judges the step): with local experts most rows are.
constexpr double kWeightNegligible = 1e-10;

// [x, 1] into out [D + 1]
void augment(std::span<const double> x, std::span<double> out) {
  std::ranges::copy(x, out.begin());
  out.back() = 1.0;
}

struct NewtonSystem {
  std::vector<double> gradient;  // [C (D + 1)]
  Matrix curvature;              // [C (D + 1), C (D + 1)], lower triangle; minus the Hessian
};

// Adds weight * (diag(p) - p p^T) (x) (x x^T) to the blocks on and below the diagonal.
void add_curvature(double weight, std::span<const double> p, std::span<const double> x, Matrix& curvature) {
  const auto classes = static_cast<int64_t>(p.size());
  const auto width = static_cast<int64_t>(x.size());
  for (int64_t i = 0; i < classes; ++i) {
    for (int64_t j = 0; j <= i; ++j) {
      const double block = weight * p[i] * ((i == j ? 1.0 : 0.0) - p[j]);
      for (int64_t r = 0; r < width; ++r) {
        const int64_t count = i == j ? r + 1 : width;
        add_scaled(block * x[r], x.first(count), curvature.row(i * width + r).subspan(j * width, count));
      }
    }
  }
}

NewtonSystem newton_system(const Matrix& x, const Matrix& target, double ridge, const Matrix& weights) {
  const int64_t classes = weights.rows;
  const int64_t width = weights.cols;
  NewtonSystem system{std::vector<double>(classes * width, 0.0), Matrix(classes * width, classes * width)};
  std::vector<double> input(width), p(classes), total(x.rows);
  for (int64_t n = 0; n < x.rows; ++n) {
    total[n] = std::accumulate(target.row(n).begin(), target.row(n).end(), 0.0);
  }
  const double negligible = kWeightNegligible * *std::ranges::max_element(total);
  for (int64_t n = 0; n < x.rows; ++n) {
    if (total[n] <= negligible) continue;
    augment(x.row(n), input);
    log_softmax_scores(weights, x.row(n), p);
    exponentiate(p);
    for (int64_t c = 0; c < classes; ++c) {
      add_scaled(target(n, c) - total[n] * p[c], input, std::span(system.gradient).subspan(c * width, width));
    }
    add_curvature(total[n], p, input, system.curvature);
  }
  for (int64_t c = 0; c < classes; ++c) {
    for (int64_t i = 0; i + 1 < width; ++i) {
      system.gradient[c * width + i] -= ridge * weights(c, i);
      system.curvature(c * width + i, c * width + i) += ridge;
    }
  }
  return system;
}

// Tries Newton's step with growing damping until the objective does not fall; false when none helps.
bool ascend(const Matrix& x, const Matrix& target, double ridge, const NewtonSystem& system, Matrix& weights,
            double& objective) {
  double scale = 0.0;
  for (int64_t i = 0; i < system.curvature.rows; ++i) scale += system.curvature(i, i);
  scale = std::max(scale / static_cast<double>(system.curvature.rows), std::numeric_limits<double>::min());
  for (double damping = kDampingFirst; damping < kDampingLast; damping *= kDampingRaise) {
    Matrix factor = system.curvature;
    for (int64_t i = 0; i < factor.rows; ++i) factor(i, i) += damping * scale;
    if (!cholesky_factor(factor)) continue;
    Matrix tried = weights;
    std::vector<double> step = system.gradient;
    cholesky_solve(factor, step);
    add_scaled(1.0, step, tried.values);
    const double reached = softmax_objective(x, target, ridge, tried);
    if (reached > objective) {  // false for a NaN
      weights = std::move(tried);
      objective = reached;
      return true;
    }
  }
  return false;
}

}  // namespace

void log_softmax_scores(const Matrix& weights, std::span<const double> x, std::span<double> scores) {
  for (int64_t c = 0; c < weights.rows; ++c) {
    const auto row = weights.row(c);
    scores[c] = dot(row.first(x.size()), x) + row.back();
  }
  log_normalise(scores);
}

double ridge_log_prior(double ridge, const Matrix& weights) {
  double squares = 0.0;
  for (int64_t r = 0; r < weights.rows; ++r) {
    const auto slopes = weights.row(r).first(weights.cols - 1);
    squares += dot(slopes, slopes);
  }
  return -0.5 * ridge * squares;
}

double softmax_objective(const Matrix& x, const Matrix& target, double ridge, const Matrix& weights) {
  std::vector<double> scores(weights.rows);
  double sum = ridge_log_prior(ridge, weights);
  for (int64_t n = 0; n < x.rows; ++n) {
    log_softmax_scores(weights, x.row(n), scores);
    for (int64_t c = 0; c < weights.rows; ++c) {
      if (target(n, c) > 0.0) sum += target(n, c) * scores[c];
    }
  }
  return sum;
}

void fit_softmax(const Matrix& x, const Matrix& target, const FitSettings& settings, Matrix& weights) {
  AGORA_CHECK_EQ(weights.cols, x.cols + 1);
  AGORA_CHECK_EQ(weights.rows, target.cols);
  double objective = softmax_objective(x, target, settings.ridge, weights);
  for (int step = 0; step < settings.steps_max; ++step) {
    const double before = objective;
    const NewtonSystem system = newton_system(x, target, settings.ridge, weights);
    if (!ascend(x, target, settings.ridge, system, weights, objective)) return;
    if (objective - before < settings.tolerance * (1.0 + std::abs(objective))) return;
  }
}

LinearExpert::LinearExpert(int64_t width, Task task, int64_t outputs)
    : weights(outputs, width + 1), task_(task) {}

void LinearExpert::predict(std::span<const double> x, std::span<double> out) const {
  if (task_ == Task::classification) {
    log_softmax_scores(weights, x, out);
    exponentiate(out);
    return;
  }
  for (int64_t o = 0; o < weights.rows; ++o) {
    out[o] = dot(weights.row(o).first(x.size()), x) + weights(o, weights.cols - 1);
  }
}

void LinearExpert::log_densities(const Examples& examples, std::span<double> out) const {
  std::vector<double> answer(weights.rows);
  for (int64_t n = 0; n < examples.rows(); ++n) {
    if (task_ == Task::classification) {
      log_softmax_scores(weights, examples.x.row(n), answer);
      out[n] = answer[examples.label[n]];
      continue;
    }
    predict(examples.x.row(n), answer);
    add_scaled(-1.0, examples.d.row(n), answer);
    const double log_scale = std::log(2.0 * std::numbers::pi * variance);
    out[n] = -0.5 * (dot(answer, answer) / variance + static_cast<double>(weights.rows) * log_scale);
  }
}

void LinearExpert::fit(const Examples& examples, std::span<const double> weight,
                       const FitSettings& settings) {
  AGORA_CHECK_EQ(static_cast<int64_t>(weight.size()), examples.rows());
  if (task_ == Task::regression) return fit_regression(examples, weight, settings);
  Matrix target(examples.rows(), weights.rows);
  for (int64_t n = 0; n < examples.rows(); ++n) target(n, examples.label[n]) = weight[n];
  fit_softmax(examples.x, target, settings, weights);
}

// Weighted least squares for the weights at the variance held, then the best variance for the weights: two
// exact coordinate steps, each of which ascends.
void LinearExpert::fit_regression(const Examples& examples, std::span<const double> weight,
                                  const FitSettings& settings) {
  const int64_t width = weights.cols;
  const double total = std::accumulate(weight.begin(), weight.end(), 0.0);
  if (!(total > 0.0)) return;
  Matrix normal(width, width);
  Matrix right(weights.rows, width);
  std::vector<double> input(width);
  for (int64_t n = 0; n < examples.rows(); ++n) {
    augment(examples.x.row(n), input);
    for (int64_t r = 0; r < width; ++r) {
      add_scaled(weight[n] * input[r], std::span(input).first(r + 1), normal.row(r).first(r + 1));
    }
    for (int64_t o = 0; o < weights.rows; ++o) add_scaled(weight[n] * examples.d(n, o), input, right.row(o));
  }
  double trace = 0.0;
  for (int64_t i = 0; i < width; ++i) trace += normal(i, i);
  // Collinear columns leave the system singular. A proximal term keeps it definite: the weights are drawn to
  // where they stand, so the step still ascends.
  const double proximal = 1e-10 * trace;
  for (int64_t i = 0; i < width; ++i)
    normal(i, i) += proximal + (i + 1 < width ? settings.ridge * variance : 0.0);
  if (!cholesky_factor(normal)) return;
  for (int64_t o = 0; o < weights.rows; ++o) {
    add_scaled(proximal, weights.row(o), right.row(o));
    cholesky_solve(normal, right.row(o));
  }
  weights = std::move(right);
  double squares = 0.0;
  std::vector<double> answer(weights.rows);
  for (int64_t n = 0; n < examples.rows(); ++n) {
    predict(examples.x.row(n), answer);
    add_scaled(-1.0, examples.d.row(n), answer);
    squares += weight[n] * dot(answer, answer);
  }
  variance = std::max(settings.variance_min, squares / (total * static_cast<double>(weights.rows)));
}

double LinearExpert::log_prior(double ridge) const { return ridge_log_prior(ridge, weights); }

int64_t LinearExpert::parameters() const {
  return weights.rows * weights.cols + (task_ == Task::regression ? 1 : 0);
}

}  // namespace agora::moe::classic
