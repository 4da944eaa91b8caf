#include "agora/moe/classic/em.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "agora/moe/classic/softmax.h"

namespace agora::moe::classic {

double responsibilities(Matrix& log_joint, double temperature) {
  double sum = 0.0;
  for (int64_t n = 0; n < log_joint.rows; ++n) {
    const auto row = log_joint.row(n);
    sum += log_normalise(row);
    if (temperature != 1.0) {
      for (double& v : row) v /= temperature;
      log_normalise(row);
    }
    exponentiate(row);
  }
  return sum;
}

Status validate(const EmSettings& settings) {
  const auto refuse = [](const char* what, double value) {
    return absl::InvalidArgumentError(absl::StrFormat("%s, got %g", what, value));
  };
  for (const FitSettings* fit : {&settings.expert, &settings.gate}) {
    if (!(fit->ridge >= 0.0) || std::isinf(fit->ridge))
      return refuse("ridge must be finite and >= 0", fit->ridge);
    if (fit->steps_max < 1) return refuse("steps_max must be >= 1", fit->steps_max);
    if (!(fit->variance_min > 0.0)) return refuse("variance_min must be > 0", fit->variance_min);
  }
  if (settings.iterations_max < 0) return refuse("iterations_max must be >= 0", settings.iterations_max);
  if (!(settings.temperature_first >= 1.0))
    return refuse("temperature_first must be >= 1", settings.temperature_first);
  if (!(settings.temperature_factor > 0.0 && settings.temperature_factor < 1.0)) {
    return refuse("temperature_factor must be in (0, 1)", settings.temperature_factor);
  }
  if (settings.patience < 1) return refuse("patience must be >= 1", settings.patience);
  return absl::OkStatus();
}

EmReport run_em(const EmSettings& settings, const EmSteps& steps) {
  EmReport report;
  report.objective.push_back(steps.objective());
  if (steps.held_out) {
    report.held_out.push_back(steps.held_out());
    steps.keep();
  }
  double temperature = settings.temperature_first;
  while (report.iterations < settings.iterations_max) {
    const bool exact = temperature <= 1.0;
    steps.iterate(std::max(temperature, 1.0));
    temperature *= settings.temperature_factor;
    ++report.iterations;
    report.objective.push_back(steps.objective());
    if (steps.held_out) {
      report.held_out.push_back(steps.held_out());
      if (report.held_out.back() > report.held_out[report.iteration_best]) {
        report.iteration_best = report.iterations;
        steps.keep();
      } else if (exact && report.iterations - report.iteration_best >= settings.patience) {
        break;
      }
    }
    const double gain = report.objective.back() - report.objective[report.iterations - 1];
    if (exact && gain < settings.tolerance * (1.0 + std::abs(report.objective.back()))) break;
  }
  if (steps.held_out) {
    steps.restore();
  } else {
    report.iteration_best = report.iterations;
  }
  return report;
}

}  // namespace agora::moe::classic
