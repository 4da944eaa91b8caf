#include "agora/moe/classic/competitive.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_format.h"
#include "agora/base/check.h"
#include "agora/moe/classic/softmax.h"

namespace agora::moe::classic {

namespace {

Status validate_shape(const MixtureShape& shape) {
  if (shape.experts < 1 || shape.expert_hidden < 0 || shape.gate_hidden < 0) {
    return absl::InvalidArgumentError(
        absl::StrFormat("expected experts >= 1 and hidden units >= 0; got %d experts, %d and %d hidden units",
                        shape.experts, shape.expert_hidden, shape.gate_hidden));
  }
  const int64_t largest = std::max({shape.experts, shape.expert_hidden, shape.gate_hidden});
  if (largest > CompetitiveMixture::kParametersMax) {
    return absl::InvalidArgumentError(
        absl::StrFormat("a mixture of %d experts or units is too large", largest));
  }
  return absl::OkStatus();
}

// The gradient of sum_j dp_j p_j by the scores of p = softmax(scores): p * (dp - p . dp), in place of dp.
void softmax_backward(std::span<const double> p, std::span<double> dp) {
  const double mean = dot(p, dp);
  for (size_t j = 0; j < p.size(); ++j) dp[j] = p[j] * (dp[j] - mean);
}

}  // namespace

// One row's way through the mixture and back; made once, used for every row.
struct CompetitiveMixture::Pass {
  Pass(const Network& expert, const Network& gate, int64_t experts)
      : units(experts, expert.hidden),
        answer(experts, expert.outputs),
        log_gate(experts),
        gate_units(gate.hidden),
        dscores(experts, expert.outputs),
        dgate(experts),
        mixed(expert.outputs) {}

  Matrix units;   // [E, hidden]
  Matrix answer;  // [E, O] outputs, or log probabilities
  std::vector<double> log_gate;
  std::vector<double> gate_units;
  Matrix dscores;             // [E, O] gradient by the experts' outputs, before the softmax
  std::vector<double> dgate;  // gradient by the gate's scores
  std::vector<double> mixed;  // [O]
};

StatusOr<CompetitiveMixture> CompetitiveMixture::make(const Examples& examples, const MixtureShape& shape,
                                                      Rng rng) {
  AGORA_RETURN_IF_ERROR(validate(examples));
  AGORA_RETURN_IF_ERROR(validate_shape(shape));
  CompetitiveMixture m;
  m.shape_ = shape;
  m.task_ = examples.task();
  m.expert_ = Network{examples.width(), shape.expert_hidden, examples.outputs()};
  m.gate_ = Network{examples.width(), shape.gate_hidden, shape.experts};
  const int64_t gate_parameters = shape.experts == 1 ? 0 : m.gate_.parameters();
  if (m.expert_.parameters() > kParametersMax / shape.experts || gate_parameters > kParametersMax) {
    return absl::InvalidArgumentError(
        absl::StrFormat("the mixture would have over %d parameters", kParametersMax));
  }
  m.weights_.resize(shape.experts * m.expert_.parameters() + gate_parameters);
  const std::span all(m.weights_);
  for (int64_t e = 0; e < shape.experts; ++e) {
    m.expert_.initialise(1.0, rng, all.subspan(e * m.expert_.parameters(), m.expert_.parameters()));
  }
  // A nearly even gate: no expert may win rows before it has shown that it fits them.
  if (shape.experts > 1) m.gate_.initialise(0.1, rng, all.last(gate_parameters));
  return m;
}

std::span<const double> CompetitiveMixture::expert_weights(std::span<const double> all,
                                                           int64_t expert) const {
  return all.subspan(expert * expert_.parameters(), expert_.parameters());
}

void CompetitiveMixture::forward(std::span<const double> weights, std::span<const double> x,
                                 Pass& pass) const {
  for (int64_t e = 0; e < experts(); ++e) {
    expert_.forward(expert_weights(weights, e), x, pass.units.row(e), pass.answer.row(e));
    if (task_ == Task::classification) log_normalise(pass.answer.row(e));
  }
  std::ranges::fill(pass.log_gate, 0.0);
  if (experts() == 1) return;
  gate_.forward(weights.last(gate_.parameters()), x, pass.gate_units, pass.log_gate);
  log_normalise(pass.log_gate);
}

// log of each expert's exp(-|d - o|^2 / 2) or p(class).
void CompetitiveMixture::log_fit(const Examples& examples, int64_t n, const Pass& pass,
                                 std::span<double> out) const {
  for (int64_t e = 0; e < experts(); ++e) {
    const auto answer = pass.answer.row(e);
    if (task_ == Task::classification) {
      out[e] = answer[examples.label[n]];
      continue;
    }
    double squares = 0.0;
    for (int64_t o = 0; o < expert_.outputs; ++o) {
      squares += (examples.d(n, o) - answer[o]) * (examples.d(n, o) - answer[o]);
    }
    out[e] = -0.5 * squares;
  }
}

double CompetitiveMixture::competitive_row(const Examples& examples, int64_t n, Pass& pass) const {
  std::vector<double>& h = pass.dgate;
  log_fit(examples, n, pass, h);
  for (int64_t e = 0; e < experts(); ++e) h[e] += pass.log_gate[e];
  const double loss = -log_normalise(h);
  exponentiate(h);
  for (int64_t e = 0; e < experts(); ++e) {
    const auto dscores = pass.dscores.row(e);
    for (int64_t o = 0; o < expert_.outputs; ++o) {
      const double answer = pass.answer(e, o);
      const bool named = task_ == Task::classification && o == examples.label[n];
      const double error =
          task_ == Task::classification ? std::exp(answer) - (named ? 1.0 : 0.0) : answer - examples.d(n, o);
      dscores[o] = h[e] * error;
    }
    pass.dgate[e] = std::exp(pass.log_gate[e]) - h[e];
  }
  return loss;
}

double CompetitiveMixture::cooperative_row(const Examples& examples, int64_t n, Pass& pass) const {
  if (task_ == Task::classification) exponentiate(pass.answer.values);
  exponentiate(pass.log_gate);
  const std::vector<double>& gate = pass.log_gate;
  std::ranges::fill(pass.mixed, 0.0);
  for (int64_t e = 0; e < experts(); ++e) add_scaled(gate[e], pass.answer.row(e), pass.mixed);
  std::vector<double>& error = pass.mixed;
  if (task_ == Task::classification) {
    error[examples.label[n]] -= 1.0;
  } else {
    add_scaled(-1.0, examples.d.row(n), error);
  }
  for (int64_t e = 0; e < experts(); ++e) {
    pass.dgate[e] = 2.0 * dot(error, pass.answer.row(e));
    const auto dscores = pass.dscores.row(e);
    for (int64_t o = 0; o < expert_.outputs; ++o) dscores[o] = 2.0 * gate[e] * error[o];
    if (task_ == Task::classification) softmax_backward(pass.answer.row(e), dscores);
  }
  softmax_backward(gate, pass.dgate);
  return dot(error, error);
}

void CompetitiveMixture::backward(std::span<const double> weights, std::span<const double> x, Pass& pass,
                                  std::span<double> gradient) const {
  const int64_t count = expert_.parameters();
  for (int64_t e = 0; e < experts(); ++e) {
    expert_.backward(expert_weights(weights, e), x, pass.units.row(e), pass.dscores.row(e),
                     gradient.subspan(e * count, count));
  }
  if (experts() == 1) return;
  gate_.backward(weights.last(gate_.parameters()), x, pass.gate_units, pass.dgate,
                 gradient.last(gate_.parameters()));
}

double CompetitiveMixture::loss(const Examples& examples, std::span<const double> weights,
                                std::span<double> gradient) const {
  AGORA_CHECK_EQ(weights.size(), weights_.size());
  Pass pass(expert_, gate_, experts());
  double sum = 0.0;
  for (int64_t n = 0; n < examples.rows(); ++n) {
    forward(weights, examples.x.row(n), pass);
    sum += shape_.loss == Loss::competitive ? competitive_row(examples, n, pass)
                                            : cooperative_row(examples, n, pass);
    if (!gradient.empty()) backward(weights, examples.x.row(n), pass, gradient);
  }
  return sum;
}

StatusOr<MinimiseReport> CompetitiveMixture::fit(const Examples& examples, const GradientSettings& settings,
                                                 const Examples* held_out) {
  AGORA_RETURN_IF_ERROR(validate(examples, held_out, {expert_.inputs, task_, expert_.outputs}));
  if (!(settings.expert_decay >= 0.0) || !(settings.gate_decay >= 0.0)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("decay must be >= 0, got %g and %g", settings.expert_decay, settings.gate_decay));
  }
  const auto objective = [&](std::span<const double> w, std::span<double> gradient) {
    std::ranges::fill(gradient, 0.0);
    double sum = loss(examples, w, gradient);
    const int64_t count = expert_.parameters();
    for (int64_t e = 0; e < experts(); ++e) {
      sum += expert_.penalty(settings.expert_decay, expert_weights(w, e), gradient.subspan(e * count, count));
    }
    if (experts() == 1) return sum;
    return sum +
           gate_.penalty(settings.gate_decay, w.last(gate_.parameters()), gradient.last(gate_.parameters()));
  };
  if (held_out == nullptr) return minimise(objective, settings.search, weights_);
  std::vector<double> best = weights_;
  double least = loss(*held_out, weights_, {});
  int since_best = 0;
  MinimiseReport report = minimise(objective, settings.search, weights_, [&](std::span<const double> w) {
    const double value = loss(*held_out, w, {});
    ++since_best;
    if (value < least) {
      least = value;
      since_best = 0;
      best.assign(w.begin(), w.end());
    }
    return since_best < settings.patience;
  });
  weights_ = std::move(best);
  return report;
}

Matrix CompetitiveMixture::predict(const Matrix& x) const {
  AGORA_CHECK_EQ(x.cols, expert_.inputs);
  Matrix out(x.rows, expert_.outputs);
  Pass pass(expert_, gate_, experts());
  for (int64_t n = 0; n < x.rows; ++n) {
    forward(weights_, x.row(n), pass);
    if (task_ == Task::classification) exponentiate(pass.answer.values);
    for (int64_t e = 0; e < experts(); ++e)
      add_scaled(std::exp(pass.log_gate[e]), pass.answer.row(e), out.row(n));
  }
  return out;
}

Matrix CompetitiveMixture::predict_expert(int64_t expert, const Matrix& x) const {
  AGORA_CHECK(expert >= 0 && expert < experts());
  AGORA_CHECK_EQ(x.cols, expert_.inputs);
  Matrix out(x.rows, expert_.outputs);
  std::vector<double> units(expert_.hidden);
  for (int64_t n = 0; n < x.rows; ++n) {
    expert_.forward(expert_weights(weights_, expert), x.row(n), units, out.row(n));
    if (task_ == Task::regression) continue;
    log_normalise(out.row(n));
    exponentiate(out.row(n));
  }
  return out;
}

Explanation CompetitiveMixture::explain(const Examples& examples) const {
  Explanation why{Matrix(examples.rows(), experts()), Matrix(examples.rows(), experts())};
  Pass pass(expert_, gate_, experts());
  for (int64_t n = 0; n < examples.rows(); ++n) {
    forward(weights_, examples.x.row(n), pass);
    std::ranges::copy(pass.log_gate, why.gate.row(n).begin());
    log_fit(examples, n, pass, why.responsibility.row(n));
    add_scaled(1.0, pass.log_gate, why.responsibility.row(n));
  }
  exponentiate(why.gate.values);
  responsibilities(why.responsibility);
  return why;
}

}  // namespace agora::moe::classic
