// A gate: scores the experts for every token of a batch and picks K of them, as its descriptor says.
//
//   AGORA_ASSIGN_OR_RETURN(Gate gate, Gate::create("model.layers.0.mlp", descriptor, D, Train::yes));
//   gate.initialise(rng, 0.02f);   gate.repack(compute);
//   AGORA_RETURN_IF_ERROR(gate.route(compute, x, GateMode::train, rng.fork(step), route, saved));
//   gate.backward(compute, x, route, saved, dweights, dlogits, dx);     // adds to its gradients and to dx
//
// The route counts all candidates: E experts behind the seam, then zero, copy and constant ones. Scores are
// made in f32 whatever the precision of the rest (Fedus 2022 found that bf16 routers diverge), each token's
// from its own row alone: a token's choice and weights are bitwise the same in any batch, but for
// expert_choice, and for noise, which is drawn by the token's place in the batch.
//
// Parameters by Hugging Face's names: NAME.gate.weight [C, D]; NAME.gate.bias [C]; NAME.gate.noise.weight
// [C, D]; NAME.gate.e_score_correction_bias [C] (never trained: moe/balance moves it); NAME.gate.entry_bias
// [E] (likewise: who lets experts in moves it). What is closed (see kClosed) is as if it were not there, bit
// for bit; a token gets fewer than K experts where fewer are open.
// route() from any thread with its own `saved`; the rest by one thread at a time.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agora/base/ids.h"
#include "agora/base/rng.h"
#include "agora/moe/batch_rows.h"
#include "agora/moe/gate/descriptor.h"
#include "agora/moe/gate/partial_linear.h"
#include "agora/moe/route.h"
#include "agora/nn/linear.h"

namespace agora::moe {

using kernels::Compute;
using nn::Train;
using tensor::Parameter;
using tensor::Purpose;
using tensor::View;

// Noise is drawn in training only.
enum class GateMode : uint8_t { infer, train };

// What a route was made of: for backward, for the losses of moe/balance and for explain(). Reused from batch
// to batch. 4 T C bytes, as much again when scored before selection, twice as much more with noise. A column
// is an open candidate; C are those.
struct GateSaved {
  std::vector<int32_t> candidate;                // [C] each column's number, ascending
  std::vector<float> bias;                       // [C] selection and entry bias; empty: the gate has none
  BatchRows<float> logits{Purpose::activation};  // [T, C] bias and noise included
  BatchRows<float> scores{
      Purpose::activation};  // [T, C] of all candidates; 0 rows when scored after selection
  BatchRows<float> noise_scale{Purpose::activation};  // [T, C] x W_noise^T; 0 rows without noise
  BatchRows<float> noise_drawn{Purpose::activation};  // [T, C] standard normal; likewise
};

// T * C of one call: each of the matrices in GateSaved takes 8 GiB then.
constexpr int64_t kGateScoresMax = int64_t{1} << 31;

class Gate {
 public:
  // InvalidArgument: see validate(); or D < 1.
  static StatusOr<Gate> create(const std::string& name, const GateDescriptor& descriptor, int64_t d,
                               Train train);

  // Router weights normal; noise weights and biases 0 (then the noise's deviation starts at log 2 *
  // descriptor.noise), so every expert is open.
  void initialise(const Rng& rng, float deviation);
  // After every change of the weights and of who is closed.
  void repack(const Compute& compute);

  const GateDescriptor& descriptor() const { return descriptor_; }
  int64_t width() const { return router_->whole().inputs(); }
  // Candidates that are scored, by number, as of the last repack().
  std::span<const int32_t> open() const { return open_; }

  // x [T, D] -> route of T tokens. rng is used for noise alone. 2 T C D operations.
  // InvalidArgument: kGateScoresMax scores or more; a token, which is named, whose scores are not finite.
  Status route(const Compute& compute, View<const float> x, GateMode mode, const Rng& rng, Route& route,
               GateSaved& saved) const;

  // dweights [choices] in the route's order. dlogits [T, C] comes with the gradient that the losses have (or
  // zero) and goes with the whole of it. dx [T, D] is added to.
  void backward(const Compute& compute, View<const float> x, const Route& route, const GateSaved& saved,
                std::span<const float> dweights, View<float> dlogits, View<float> dx);

  // What optimizers move. Selection and entry bias are not among them: see selection_bias().
  void append_parameters(std::vector<Parameter*>& to);
  // Null unless the descriptor has one. Checkpoints save it, moe/balance moves it.
  Parameter* selection_bias() { return bias_.get(); }
  std::span<const float> selection_bias_values() const;  // [C], or empty
  // The numbers that an expert begins with which comes while training runs, with no memory in the optimizer:
  // the source's, moved by noise of `noise` times their own size; without a source weights of `deviation` and
  // the mean selection bias of the open experts. The same rng gives the same numbers. repack() afterwards.
  struct Seat {
    ExpertId expert;
    std::optional<ExpertId> source;
    float deviation = 0.02f;
    float noise = 0.1f;
  };
  void seat_expert(const Seat& seat, const Rng& rng);

  // Null unless the descriptor has one. Changed: repack().
  Parameter* entry_bias() { return entry_.get(); }
  const Parameter* entry_bias() const { return entry_.get(); }

 private:
  Gate(const std::string& name, const GateDescriptor& descriptor, int64_t d, Train train);

  void take_open_candidates();
  void name_columns(GateSaved& saved) const;
  void add_noise(const Compute& compute, View<const float> x, const Rng& rng, GateSaved& saved) const;
  Status score_tokens(const Compute& compute, GateSaved& saved) const;
  void select(const Compute& compute, const GateSaved& saved, Route& route) const;
  void weigh_tokens(const Compute& compute, const GateSaved& saved, Route& route) const;

  GateDescriptor descriptor_;
  // Behind pointers: parameters keep their addresses when the gate moves.
  std::unique_ptr<PartialLinear> router_;
  std::unique_ptr<PartialLinear> noise_;  // null without noise
  std::unique_ptr<Parameter> bias_;       // null without selection bias
  std::unique_ptr<Parameter> entry_;      // null without entry bias
  std::vector<int32_t> open_;             // columns' numbers
};

}  // namespace agora::moe
