// RMSNorm with a learned gain: y = x / sqrt(mean(x^2) + epsilon) * gain.
//
//   RmsNorm norm("model.norm", D, 1e-6f, Train::yes);         // parameter NAME.weight [D], ones
//   norm.forward(compute, x, y, inverse);                     // inverse [T]: backward needs it and x
//   norm.backward(compute, x, inverse, dy, dx, Write::add);
//
// forward() from any thread; the rest by one thread at a time.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "agora/kernels/row_ops.h"
#include "agora/nn/parameter.h"

namespace agora::nn {

class RmsNorm {
 public:
  RmsNorm(const std::string& name, int64_t width, float epsilon, Train train);

  // x, y [rows, width] with any number of rows; y may be x. inverse [rows], or empty when no backward
  // follows.
  void forward(const kernels::Compute& compute, tensor::View<const float> x, tensor::View<float> y,
               std::span<float> inverse) const;
  // dx (=, +=); dx may be dy when it replaces. The gain's gradient is added to.
  void backward(const kernels::Compute& compute, tensor::View<const float> x, std::span<const float> inverse,
                tensor::View<const float> dy, tensor::View<float> dx, kernels::Write write);

  int64_t width() const { return gain_.value.cols(); }
  Parameter& gain() { return gain_; }
  void append_parameters(std::vector<Parameter*>& to) { to.push_back(&gain_); }

 private:
  Parameter gain_;
  float epsilon_;
};

}  // namespace agora::nn
