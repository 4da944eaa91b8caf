// Turns the input into rows: tokens by a table, image patches by a product and a learned position.
//
//   Frontend frontend(config, Train::yes);
//   frontend.forward(compute, batch, x);            // x [T, D]
//   frontend.backward(compute, batch, dx);          // adds to the gradients
//
// forward() from any thread; the rest by one thread at a time.
#pragma once

#include <memory>
#include <vector>

#include "agora/model/batch.h"
#include "agora/model/config.h"
#include "agora/nn/embedding.h"
#include "agora/nn/linear.h"

namespace agora::model {

using kernels::Compute;
using tensor::Train;
using tensor::View;

class Frontend {
 public:
  virtual ~Frontend() = default;

  virtual void initialise(const Rng& rng, float deviation) = 0;
  virtual void repack(const Compute& compute) = 0;
  // InvalidArgument: a token outside the vocabulary, the wrong number of pixels.
  virtual Status forward(const Compute& compute, const Batch& batch, View<float> x) const = 0;
  virtual void backward(const Compute& compute, const Batch& batch, View<const float> dx) = 0;
  virtual void append_parameters(std::vector<tensor::Parameter*>& to) = 0;
  // The table that a tied head shares; null where there is none.
  virtual tensor::Parameter* table() { return nullptr; }
};

std::unique_ptr<Frontend> make_frontend(const ModelConfig& config, Train train);

}  // namespace agora::model
