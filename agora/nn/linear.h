// y = x W^T + b, with W packed once per optimizer step for both directions.
//
//   Linear up("model.layers.0.up", H, D, Bias::no, Train::yes);     // NAME.weight [H, D], NAME.bias [H]
//   up.initialise(rng, 0.02f);
//   up.repack(compute);                                             // after every change of the weights
//   up.forward(compute, x, y);
//   up.backward(compute, x, dy, dx);                                // adds to the gradients
//
// forward() may be called from any thread; the rest by one thread at a time, not during forward().
#pragma once

#include <span>
#include <string>
#include <vector>

#include "agora/kernels/matmul.h"
#include "agora/nn/parameter.h"

namespace agora::nn {

using kernels::Compute;
using kernels::PackedMatrix;
using kernels::Write;
using tensor::Buffer;
using tensor::Purpose;
using tensor::View;

enum class Bias : uint8_t { no, yes };

class Linear {
 public:
  Linear(const std::string& name, int64_t outputs, int64_t inputs, Bias bias, Train train);

  void initialise(const Rng& rng, float deviation);  // weights normal, bias zero
  void repack(const Compute& compute);

  // y [T, outputs] (=, +=) x [T, inputs] W^T + b.  2 T outputs inputs operations.
  void forward(const Compute& compute, View<const float> x, View<float> y,
               Write write = Write::replace) const;

  // x as in forward. dx [T, inputs] (=, +=) dy W; an empty dx is skipped. Weight and bias gradients are added
  // to. Only for layers built with Train::yes.
  void backward(const Compute& compute, View<const float> x, View<const float> dy, View<float> dx,
                Write write = Write::replace);

  // For layers that read the same x, the bits of one call after the other: x is prepared once for all.
  struct Output {
    const Linear* layer;
    View<float> y;
  };
  static void forward_each(const Compute& compute, View<const float> x, std::span<const Output> outputs);
  // dx gets the sum over the layers, in their order.
  struct OutputGradient {
    Linear* layer;
    View<const float> dy;
  };
  static void backward_each(const Compute& compute, View<const float> x,
                            std::span<const OutputGradient> gradients, View<float> dx,
                            Write write = Write::replace);

  int64_t outputs() const { return weight_.value.rows(); }
  int64_t inputs() const { return weight_.value.cols(); }
  Parameter& weight() { return weight_; }
  const Parameter& weight() const { return weight_; }
  Parameter* bias() { return bias_.value.empty() ? nullptr : &bias_; }
  void append_parameters(std::vector<Parameter*>& to);

 private:
  Parameter weight_;
  Parameter bias_;  // empty without bias
  PackedMatrix forward_;
  PackedMatrix backward_;  // transposed; packed for Train::yes only
};

}  // namespace agora::nn
