#include "agora/optim/clip.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "agora/kernels/adamw_step.h"

namespace agora::optim {

double norm(const kernels::Compute& compute, std::span<const float> x) {
  return std::sqrt(kernels::sum_of_squares(compute, x));
}

StatusOr<double> gradient_norm(const kernels::Compute& compute,
                               std::span<tensor::Parameter* const> parameters) {
  return gradient_norm(compute, tensor::views_of(parameters));
}

StatusOr<double> gradient_norm(const kernels::Compute& compute,
                               std::span<const tensor::ParameterView> parameters) {
  double total = 0;
  for (const tensor::ParameterView& p : parameters) {
    if (!p.trained()) continue;
    const double squares = kernels::sum_of_squares(compute, p.gradient.flat());
    if (!std::isfinite(squares)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the gradient of ", p.name,
                       " holds a NaN or an infinity: the data, the weights or the learning rate",
                       " are to blame; nothing was changed in this step"));
    }
    total += squares;
  }
  return std::sqrt(total);
}

float clip_scale(double norm, double norm_max) {
  if (norm_max <= 0 || norm <= norm_max) return 1.0f;
  return static_cast<float>(norm_max / norm);
}

}  // namespace agora::optim
