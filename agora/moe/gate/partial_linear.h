// A linear layer of which only some outputs are wanted now: the others cost nothing and learn nothing.
//
//   PartialLinear router(name, C, D, Bias::no, Train::yes);
//   router.choose(open);   router.repack(compute);       // open: outputs by number, ascending
//   router.forward(compute, x, y);                       // y [T, open]
//   router.backward(compute, x, dy, dx);                 // adds to the chosen outputs' gradients, and to dx
//
// Every number is that of a layer which has the chosen outputs alone. Threads: as nn::Linear.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "agora/nn/linear.h"

namespace agora::moe {

class PartialLinear {
 public:
  PartialLinear(const std::string& name, int64_t outputs, int64_t inputs, nn::Bias bias, nn::Train train)
      : name_(name), bias_(bias), train_(train), whole_(name, outputs, inputs, bias, train) {}

  // All are chosen at first.
  void choose(std::span<const int32_t> outputs);
  void repack(const kernels::Compute& compute);

  void forward(const kernels::Compute& compute, tensor::View<const float> x, tensor::View<float> y) const {
    used().forward(compute, x, y);
  }
  // Adds to dx.
  void backward(const kernels::Compute& compute, tensor::View<const float> x, tensor::View<const float> dy,
                tensor::View<float> dx);

  nn::Linear& whole() { return whole_; }
  const nn::Linear& whole() const { return whole_; }

 private:
  const nn::Linear& used() const { return part_ == nullptr ? whole_ : *part_; }

  std::string name_;
  nn::Bias bias_;
  nn::Train train_;
  nn::Linear whole_;
  std::vector<int32_t> chosen_;       // where there is a part
  std::unique_ptr<nn::Linear> part_;  // null: all outputs are chosen
};

}  // namespace agora::moe
