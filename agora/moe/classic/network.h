// A network from rows to scores, linear or with one hidden layer of tanh units, over weights that live
// elsewhere.
//
//   Network network{.inputs = 10, .hidden = 8, .outputs = 11};
//   network.forward(weights, x, hidden, out);                    // out [O]
//   network.backward(weights, x, hidden, dout, gradient);        // gradient += d out / d weights * dout
//
// hidden = 0 is the linear map. The weights are one flat span of network.parameters() numbers, so that a
// mixture of networks is one vector to its optimizer: first layer [hidden, inputs + 1] then second [outputs,
// hidden + 1], each row's last number for the constant 1. A value type; any thread.
#pragma once

#include <cstdint>
#include <span>

#include "agora/base/rng.h"

namespace agora::moe::classic {

struct Network {
  int64_t inputs = 1;
  int64_t hidden = 0;
  int64_t outputs = 1;

  int64_t parameters() const {
    return hidden == 0 ? outputs * (inputs + 1) : hidden * (inputs + 1) + outputs * (hidden + 1);
  }

  // Normal weights whose deviation keeps sums near `scale`; constants 0.
  void initialise(double scale, Rng& rng, std::span<double> weights) const;

  // units [hidden] receives the hidden layer, which backward needs.
  void forward(std::span<const double> weights, std::span<const double> x, std::span<double> units,
               std::span<double> out) const;

  // Adds to gradient.
  void backward(std::span<const double> weights, std::span<const double> x, std::span<const double> units,
                std::span<const double> dout, std::span<double> gradient) const;

  // decay / 2 * sum of squares of all weights but the constants'; adds its gradient.
  double penalty(double decay, std::span<const double> weights, std::span<double> gradient) const;
};

}  // namespace agora::moe::classic
