// Rows to logits over the vocabulary: a matrix [V, D] of its own, or the embedding's table (tied).
//
//   Head head("lm_head", V, D, Train::yes);      // parameter NAME.weight
//   Head tied(embedding.table());                // no parameter of its own; gradients add up in the table
//   head.repack(compute);
//   head.forward(compute, x, logits);            // answering; training uses cross_entropy() of nn/loss.h
//
// forward() from any thread; the rest by one thread at a time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agora/kernels/matmul.h"
#include "agora/nn/parameter.h"

namespace agora::nn {

class Head {
 public:
  Head(const std::string& name, int64_t vocabulary, int64_t width, Train train);
  explicit Head(Parameter& tied)
      : weight_(&tied) {}  // borrowed: `tied` must outlive the head and stay where it is

  void initialise(const Rng& rng, float deviation);  // nothing when tied
  void repack(const kernels::Compute& compute);

  // logits [T, V] = x [T, D] W^T
  void forward(const kernels::Compute& compute, tensor::View<const float> x,
               tensor::View<float> logits) const;

  bool tied() const { return own_ == nullptr; }
  Parameter& weight() { return *weight_; }
  const kernels::PackedMatrix& packed() const { return forward_; }
  const kernels::PackedMatrix& packed_transposed() const { return backward_; }  // empty unless trained
  void append_parameters(std::vector<Parameter*>& to);                          // nothing when tied

 private:
  std::unique_ptr<Parameter> own_;
  Parameter* weight_;
  kernels::PackedMatrix forward_;
  kernels::PackedMatrix backward_;
};

}  // namespace agora::nn
