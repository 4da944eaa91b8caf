// What the mixtures trained by EM share: settings, the report of a fit, the explanation of a row, and the
// E-step.
//
//   EmSettings settings{.expert = {.ridge = 1.0}, .iterations_max = 50};
//   Explanation why = mixture.explain(examples);
//   why.gate(n, e);             // how much of row n the gate gave to expert e before it saw the answer
//   why.responsibility(n, e);   // how much of the answer is expert e's doing: the posterior
//
// Value types; any thread.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "agora/moe/classic/linear_expert.h"

namespace agora::moe::classic {

struct EmSettings {
  FitSettings expert{};
  FitSettings gate{};
  int iterations_max = 100;
  double tolerance = 1e-7;  // the gain per iteration, relative to the objective, that ends the fit
  // Deterministic annealing (Ueda & Nakano 1998): responsibilities are raised to 1 / temperature, which falls
  // to 1 by this factor an iteration. 1: exact EM from the start.
  double temperature_first = 1.0;
  double temperature_factor = 0.8;
  int patience = 10;  // iterations without a gain on the held-out rows that end the fit
};

struct EmReport {
  std::vector<double> objective;  // penalised log-likelihood before the first iteration and after each
  std::vector<double> held_out;   // log-likelihood of the held-out rows, likewise; empty without them
  int iterations = 0;             // done
  int iteration_best = 0;         // whose parameters were kept
};

struct Explanation {
  Matrix gate;            // [N, E] rows sum to 1
  Matrix responsibility;  // [N, E] rows sum to 1
};

// log joint [N, E] becomes responsibilities, in place; returns sum over rows of log sum_e exp(log joint). At
// a temperature other than 1 the responsibilities are proportional to the joint to the power 1 / temperature.
double responsibilities(Matrix& log_joint, double temperature = 1.0);

// InvalidArgument that names the setting.
Status validate(const EmSettings& settings);

// The loop of EM, whatever the mixture: `iterate(temperature)` does an E-step and an M-step, `objective()` is
// the penalised log-likelihood, `held_out()` that of the held-out rows (empty function: none), `keep()` and
// `restore()` save and bring back the parameters.
struct EmSteps {
  std::function<void(double temperature)> iterate;
  std::function<double()> objective;
  std::function<double()> held_out;
  std::function<void()> keep;
  std::function<void()> restore;
};
EmReport run_em(const EmSettings& settings, const EmSteps& steps);

// The same for a mixture that copies: held_out may be null.
template <class Mixture, class Iterate>
EmReport run_em(Mixture& mixture, const Examples& examples, const Examples* held_out,
                const EmSettings& settings, const Iterate& iterate) {
  std::optional<Mixture> best;
  EmSteps steps;
  steps.iterate = iterate;
  steps.objective = [&] { return mixture.penalised(examples, settings); };
  if (held_out != nullptr) {
    steps.held_out = [&] { return mixture.log_likelihood(*held_out); };
    steps.keep = [&] { best = mixture; };
    steps.restore = [&] { mixture = *best; };
  }
  return run_em(settings, steps);
}

}  // namespace agora::moe::classic
