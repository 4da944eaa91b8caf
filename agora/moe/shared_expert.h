// The expert that every token visits, beside the ones that the gate chooses: a SwiGLU network in the trunk.
//
//   SharedExpert shared("model.layers.0.mlp", D, H, Gated::yes, Train::yes);
//   shared.forward(compute, x, y, &saved);            // y += [sigmoid(x . w) *] E(x)
//   shared.backward(compute, x, saved, dy, dx);       // dx +=, gradients +=
//
// Parameters by Hugging Face's names: NAME.shared_expert.{gate,up,down}_proj.weight,
// NAME.shared_expert_gate.weight [1, D]. One thread at a time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agora/moe/batch_rows.h"
#include "agora/moe/expert/expert.h"
#include "agora/nn/linear.h"

namespace agora::moe {

using tensor::Parameter;

enum class Gated : uint8_t { no, yes };

struct SharedSaved {
  kernels::ExpertSaved hidden;
  std::vector<float> weights;  // [T] sigmoid(x . w), or 1
};

class SharedExpert {
 public:
  SharedExpert(const std::string& name, const ExpertShape& shape, Gated gated, Train train);

  void initialise(const Rng& rng);
  void repack(const Compute& compute);

  // y [T, D] is added to. keep no: `saved` serves as scratch.
  void forward(const Compute& compute, View<const float> x, Keep keep, View<float> y, SharedSaved& saved);
  void backward(const Compute& compute, View<const float> x, const SharedSaved& saved, View<const float> dy,
                View<float> dx);

  void append_parameters(std::vector<Parameter*>& to);

 private:
  kernels::ExpertGroup every_token(int64_t tokens, const SharedSaved& saved);

  ExpertShape shape_;
  Parameter gate_proj_, up_proj_, down_proj_;
  kernels::ExpertPack pack_;
  std::unique_ptr<nn::Linear> gate_;  // null when not gated
  std::vector<int32_t> tokens_;       // 0, 1, 2, ...
  BatchRows<float> rows_{tensor::Purpose::scratch};
};

}  // namespace agora::moe
