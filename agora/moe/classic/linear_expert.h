// Generalised linear experts and their weighted fits: the M-step of the mixtures that are trained by EM.
//
//   LinearExpert expert(examples.width(), examples.task(), examples.outputs());
//   expert.log_densities(examples, out);             // log p(d_n | x_n) for every row
//   expert.fit(examples, weight, settings);          // raises sum_n weight_n log p(d_n | x_n) - penalty
//
// Regression: p = N(d; W [x, 1], s I), s the expert's own variance. Classification: p = softmax(W [x, 1]).
// The gates of the tree are softmax regressions on soft targets, fitted by the same function. Each fit
// ascends its penalised objective or leaves the parameters as they are, which is what makes the EM around it
// monotone. Jordan & Jacobs 1994, "Hierarchical Mixtures of Experts and the EM Algorithm". One thread at a
// time per expert.
#pragma once

#include <span>
#include <vector>

#include "agora/moe/classic/examples.h"

namespace agora::moe::classic {

struct FitSettings {
  // Gaussian prior on the weights: - ridge / 2 * sum of squares, the constant input's weights left out.
  double ridge = 0.0;
  int steps_max = 8;           // Newton (IRLS) steps per call; few make EM a generalised EM, still monotone
  double tolerance = 1e-10;    // a step that gains less than this, relative to the objective, is the last
  double variance_min = 1e-6;  // floor of a regression expert's variance
};

// log softmax(weights [C, D + 1] [x, 1]) into scores [C].
void log_softmax_scores(const Matrix& weights, std::span<const double> x, std::span<double> scores);

// sum over rows and classes of target(n, c) log softmax(weights [x_n, 1])_c - the ridge's penalty.
double softmax_objective(const Matrix& x, const Matrix& target, double ridge, const Matrix& weights);

// Raises softmax_objective by Newton steps, each damped until it ascends. target [N, C] >= 0, rows of any sum
// (a row's weight times its distribution). N C^2 D^2 / 4 + (C D)^3 / 6 multiply-adds a step.
void fit_softmax(const Matrix& x, const Matrix& target, const FitSettings& settings, Matrix& weights);

class LinearExpert {
 public:
  LinearExpert(int64_t width, Task task, int64_t outputs);

  // Expectation of d (regression) or class probabilities, into out [O].
  void predict(std::span<const double> x, std::span<double> out) const;

  // log p(d_n | x_n) of every row into out [N].
  void log_densities(const Examples& examples, std::span<double> out) const;

  // weight [N] >= 0. Rows of weight 0 cost nothing; if all are, nothing changes but what the ridge pulls to
  // 0.
  void fit(const Examples& examples, std::span<const double> weight, const FitSettings& settings);

  // The ridge's part of the penalised log-likelihood: <= 0.
  double log_prior(double ridge) const;

  int64_t parameters() const;

  Matrix weights;         // [O, D + 1], the last column for the constant 1
  double variance = 1.0;  // regression only

 private:
  void fit_regression(const Examples& examples, std::span<const double> weight, const FitSettings& settings);

  Task task_;
};

// - ridge / 2 * sum of squares of all but the last column.
double ridge_log_prior(double ridge, const Matrix& weights);

}  // namespace agora::moe::classic
