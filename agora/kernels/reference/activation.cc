#include "agora/kernels/reference/activation.h"

#include <cmath>

namespace agora::kernels::reference {
namespace {

ValueAndSlope silu(double x) {
  const double s = 1.0 / (1.0 + std::exp(-x));
  return {x * s, s * (1.0 + x * (1.0 - s))};
}

ValueAndSlope gelu(double x) {
  const double c = std::sqrt(2.0 / 3.14159265358979323846);
  const double t = std::tanh(c * (x + 0.044715 * x * x * x));
  const double inner_slope = c * (1.0 + 3.0 * 0.044715 * x * x);
  return {0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner_slope};
}

}  // namespace

ValueAndSlope activate(Activation activation, double x) {
  switch (activation) {
    case Activation::swiglu:
      return silu(x);
    case Activation::gelu:
      return gelu(x);
    case Activation::relu:
      return x > 0.0 ? ValueAndSlope{x, 1.0} : ValueAndSlope{0.0, 0.0};
    case Activation::linear:
      return {x, 1.0};
  }
  return {x, 1.0};
}

}  // namespace agora::kernels::reference
