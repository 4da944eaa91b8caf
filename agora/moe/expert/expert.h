// One expert: its parameters, the pack that the kernels read, and its own optimizer step.
//
//   Expert expert({.d = D, .h = H}, Train::yes);
//   expert.initialise("model.layers.0.mlp.experts.3", rng);
//   expert.repack(compute);
//   ... kernels::ExpertGroup{&expert.pack(), ...}, expert.gradients() ...
//   AGORA_ASSIGN_OR_RETURN(double norm, expert.gradient_norm(compute));
//   expert.step(compute, settings, norm);
//
// Parameters by Hugging Face's names: NAME.gate_proj.weight [H, D] (swiglu only), NAME.up_proj.weight [H, D],
// NAME.down_proj.weight [D, H] (not for linear, whose up is [D, D]), NAME.up_proj.bias and
// NAME.down_proj.bias if biased. A host holds thousands of experts, small ones too: the values of all
// parameters lie one after the other in one memory, their gradients and moments likewise, and names are made
// for who asks. One thread at a time; pack() may be read by many between changes.
#pragma once

#include <string_view>
#include <vector>

#include "agora/base/result.h"
#include "agora/base/rng.h"
#include "agora/kernels/expert_ffn.h"
#include "agora/moe/experts.h"
#include "agora/nn/parameter.h"

namespace agora::moe {

using kernels::Activation;
using kernels::Compute;
using nn::Train;
using tensor::ParameterView;

struct ExpertShape {
  Activation activation = Activation::swiglu;
  int64_t d = 0;                 // D
  int64_t h = 0;                 // H; not used by linear
  bool biases = false;           // not with swiglu
  float deviation = 0.02f;       // of the first weights of gate and up
  float deviation_down = 0.02f;  // of down's: residual branches are often started smaller
};

// InvalidArgument that names the field.
Status validate(const ExpertShape& shape);

class Expert {
 public:
  // The shape is valid. Values are zero until initialise().
  Expert(const ExpertShape& shape, Train train);
  Expert(const Expert&) = delete;
  Expert& operator=(const Expert&) = delete;

  // From the streams that rng forks for the parameters' names: an expert starts the same wherever it is held.
  void initialise(std::string_view name, const Rng& rng);
  // After every change of the weights. Packs for backward too if the expert is trained.
  void repack(const Compute& compute);

  const ExpertShape& shape() const { return shape_; }
  bool trained() const { return !gradients_.empty(); }
  const kernels::ExpertPack& pack() const { return pack_; }
  kernels::ExpertWeights weights() const;
  kernels::ExpertGradients gradients();  // all views empty unless trained
  // Those that its shape has, in the order above; names are those within the expert unless it gets one.
  std::vector<ParameterView> parameters(std::string_view name = {});

  // InvalidArgument naming the parameter whose gradient is not finite; nothing has been changed then.
  StatusOr<double> gradient_norm(const Compute& compute, std::string_view name = {});
  // Scales the gradient, clips by the expert's own norm (given: the gradient's, before scaling), moves the
  // weights (AdamW), packs them anew and clears the gradients.
  void step(const Compute& compute, const StepSettings& settings, double norm, float gradient_scale = 1.0f);
  void zero_gradients();

  // Steps taken. Who copies weights and moments from another replica copies this too.
  uint64_t version() const { return version_; }
  void set_version(uint64_t version) { version_ = version; }

 private:
  ExpertShape shape_;
  uint64_t version_ = 0;
  tensor::Buffer<float> values_;
  tensor::Buffer<float> gradients_;  // empty unless trained, as the moments are
  tensor::Buffer<float> moments_;    // a row of first ones, a row of second ones
  kernels::ExpertPack pack_;
};

}  // namespace agora::moe
