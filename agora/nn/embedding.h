// Tokens to rows by a table [V, D].
//
//   Embedding tokens("model.embed_tokens", V, D, Train::yes);     // parameter NAME.weight
//   tokens.forward(compute, ids, x);
//   tokens.backward(compute, ids, dx);
//   Head head(tokens.table());                                    // a tied head, see nn/head.h
//
// forward() from any thread; the rest by one thread at a time.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "agora/kernels/row_ops.h"
#include "agora/nn/parameter.h"

namespace agora::nn {

class Embedding {
 public:
  Embedding(const std::string& name, int64_t vocabulary, int64_t width, Train train);

  void initialise(const Rng& rng, float deviation) { fill_normal(*table_, rng, deviation); }

  // ids in [0, V): the caller has checked them. x [ids, D].
  void forward(const kernels::Compute& compute, std::span<const int32_t> ids, tensor::View<float> x) const;
  // Adds dx's rows to the table's gradient, in ascending order.
  void backward(const kernels::Compute& compute, std::span<const int32_t> ids, tensor::View<const float> dx);

  int64_t vocabulary() const { return table_->value.rows(); }
  int64_t width() const { return table_->value.cols(); }
  Parameter& table() { return *table_; }
  void append_parameters(std::vector<Parameter*>& to) { to.push_back(table_.get()); }

 private:
  std::unique_ptr<Parameter> table_;  // its address holds when the layer moves: a tied head borrows it
};

}  // namespace agora::nn
