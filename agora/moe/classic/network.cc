#include "agora/moe/classic/network.h"

#include <cmath>
#include <vector>

#include "agora/moe/classic/linear_algebra.h"

namespace agora::moe::classic {

namespace {

// out = W [x, 1] for W [rows, |x| + 1] in a flat span
void affine(std::span<const double> weights, std::span<const double> x, std::span<double> out) {
  const size_t width = x.size() + 1;
  for (size_t r = 0; r < out.size(); ++r) {
    const auto row = weights.subspan(r * width, width);
    out[r] = dot(row.first(x.size()), x) + row.back();
  }
}

// gradient += dout [x, 1]^T
void affine_backward(std::span<const double> x, std::span<const double> dout, std::span<double> gradient) {
  const size_t width = x.size() + 1;
  for (size_t r = 0; r < dout.size(); ++r) {
    const auto row = gradient.subspan(r * width, width);
    add_scaled(dout[r], x, row.first(x.size()));
    row.back() += dout[r];
  }
}

void initialise_layer(double scale, int64_t width, Rng& rng, std::span<double> weights) {
  for (size_t i = 0; i < weights.size(); ++i) {
    const bool constant = static_cast<int64_t>(i % width) == width - 1;
    weights[i] = constant ? 0.0 : scale / std::sqrt(static_cast<double>(width)) * rng.normal();
  }
}

double layer_penalty(double decay, int64_t width, std::span<const double> weights,
                     std::span<double> gradient) {
  double squares = 0.0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (static_cast<int64_t>(i % width) == width - 1) continue;
    squares += weights[i] * weights[i];
    gradient[i] += decay * weights[i];
  }
  return 0.5 * decay * squares;
}

}  // namespace

void Network::initialise(double scale, Rng& rng, std::span<double> weights) const {
  const int64_t first = hidden * (inputs + 1);
  initialise_layer(scale, inputs + 1, rng, weights.first(first));
  initialise_layer(scale, hidden == 0 ? inputs + 1 : hidden + 1, rng, weights.subspan(first));
}

void Network::forward(std::span<const double> weights, std::span<const double> x, std::span<double> units,
                      std::span<double> out) const {
  if (hidden == 0) return affine(weights, x, out);
  const int64_t first = hidden * (inputs + 1);
  affine(weights.first(first), x, units);
  for (double& u : units) u = std::tanh(u);
  affine(weights.subspan(first), units, out);
}

void Network::backward(std::span<const double> weights, std::span<const double> x,
                       std::span<const double> units, std::span<const double> dout,
                       std::span<double> gradient) const {
  if (hidden == 0) return affine_backward(x, dout, gradient);
  const int64_t first = hidden * (inputs + 1);
  affine_backward(units, dout, gradient.subspan(first));
  std::vector<double> dunits(hidden, 0.0);
  for (int64_t o = 0; o < outputs; ++o) {
    add_scaled(dout[o], weights.subspan(first + o * (hidden + 1), hidden), dunits);
  }
  for (int64_t h = 0; h < hidden; ++h) dunits[h] *= 1.0 - units[h] * units[h];
  affine_backward(x, dunits, gradient.first(first));
}

double Network::penalty(double decay, std::span<const double> weights, std::span<double> gradient) const {
  const int64_t first = hidden * (inputs + 1);
  const double below = layer_penalty(decay, inputs + 1, weights.first(first), gradient.first(first));
  return below + layer_penalty(decay, hidden == 0 ? inputs + 1 : hidden + 1, weights.subspan(first),
                               gradient.subspan(first));
}

}  // namespace agora::moe::classic
