#include "agora/kernels/reference/expert_ffn.h"

#include "agora/kernels/reference/activation.h"

namespace agora::kernels::reference {
namespace {

// The values inside an expert for one row.
struct Inside {
  std::vector<double> gate;  // before silu; empty without a gate
  std::vector<double> up;    // before the activation where there is no gate
  std::vector<double> hidden;
};

double dot(const float* weights, std::span<const float> x) {
  double sum = 0.0;
  for (size_t i = 0; i < x.size(); ++i) sum += double{weights[i]} * double{x[i]};
  return sum;
}

Inside inside_of(Activation activation, const ExpertWeights& weights, std::span<const float> x) {
  Inside inside;
  for (int64_t h = 0; h < weights.up.rows; ++h) {
    const double bias = weights.up_bias.empty() ? 0.0 : weights.up_bias.data[h];
    inside.up.push_back(dot(weights.up.row(h), x) + bias);
    if (activation == Activation::swiglu) {
      inside.gate.push_back(dot(weights.gate.row(h), x));
      inside.hidden.push_back(activate(activation, inside.gate.back()).value * inside.up.back());
    } else {
      inside.hidden.push_back(activate(activation, inside.up.back()).value);
    }
  }
  return inside;
}

std::vector<double> output_of(const ExpertWeights& weights, const Inside& inside) {
  if (weights.down.empty()) return inside.hidden;
  std::vector<double> y;
  for (int64_t d = 0; d < weights.down.rows; ++d) {
    double sum = weights.down_bias.empty() ? 0.0 : weights.down_bias.data[d];
    for (int64_t h = 0; h < weights.down.cols; ++h) sum += weights.down.row(d)[h] * inside.hidden[h];
    y.push_back(sum);
  }
  return y;
}

void add(View<float> gradient, int64_t row, int64_t column, double value) {
  if (!gradient.empty()) gradient.row(row)[column] += static_cast<float>(value);
}

}  // namespace

std::vector<double> expert(Activation activation, const ExpertWeights& weights, std::span<const float> x) {
  return output_of(weights, inside_of(activation, weights, x));
}

void expert_backward(Activation activation, const ExpertWeights& weights, std::span<const float> x,
                     std::span<const float> dy, float weight, const ExpertGradients& gradients,
                     std::span<float> dx, float* dweight) {
  const Inside inside = inside_of(activation, weights, x);
  const std::vector<double> y = output_of(weights, inside);
  const auto width = static_cast<int64_t>(x.size());
  double along = 0.0;
  for (int64_t d = 0; d < width; ++d) along += dy[d] * y[d];
  *dweight = static_cast<float>(along);
  std::vector<double> dx_sum(x.size(), 0.0);
  for (int64_t d = 0; d < width && !weights.down.empty(); ++d) add(gradients.down_bias, 0, d, weight * dy[d]);
  for (int64_t h = 0; h < weights.up.rows; ++h) {
    double dhidden = 0.0;
    if (weights.down.empty()) dhidden = weight * dy[h];
    for (int64_t d = 0; d < weights.down.rows; ++d) {
      dhidden += weight * dy[d] * weights.down.row(d)[h];
      add(gradients.down, d, h, weight * dy[d] * inside.hidden[h]);
    }
    const bool gated = activation == Activation::swiglu;
    const ValueAndSlope act = activate(activation, gated ? inside.gate[h] : inside.up[h]);
    const double dgate = gated ? dhidden * inside.up[h] * act.slope : 0.0;
    const double dup = dhidden * (gated ? act.value : act.slope);
    add(gradients.up_bias, 0, h, dup);
    for (int64_t d = 0; d < width; ++d) {
      if (gated) add(gradients.gate, h, d, dgate * x[d]);
      add(gradients.up, h, d, dup * x[d]);
      dx_sum[d] += dup * weights.up.row(h)[d] + (gated ? dgate * weights.gate.row(h)[d] : 0.0);
    }
  }
  for (int64_t d = 0; d < width; ++d) dx[d] = static_cast<float>(dx_sum[d]);
}

}  // namespace agora::kernels::reference
