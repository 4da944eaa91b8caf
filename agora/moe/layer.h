// A mixture layer: gate -> dispatch to the experts behind the seam -> combine, and what needs no call.
//
//   AGORA_ASSIGN_OR_RETURN(auto layer, MoeLayer::create("model.layers.0.mlp", LayerId{0}, config, experts,
//                                                       Train::yes));
//   layer->initialise(rng);
//   layer->repack(compute);
//   AGORA_ASSIGN_OR_RETURN(MoeStats stats, layer->forward(compute, x, call, Keep::for_backward, y, saved));
//   AGORA_RETURN_IF_ERROR(layer->backward(compute, x, saved, dy, dx));
//   layer->move_selection_bias(layer->loads());                             // at the end of the step
//   layer->clear_loads();
//
// y is the layer's own answer: the residual is the caller's. The experts' weights belong to the seam, not to
// the layer; append_parameters() gives the trunk's part: gate, shared expert and its gate, constant experts.
// layer.cc and layer_backward.cc are the whole way on one screen each.
// Several passes may be under way at the same time, each with its own MoeSaved, where one thread computes at
// a time: what waits inside the seam gives its turn away (base/baton.h). Nothing of a pass lives in the
// layer.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "agora/moe/balance/loads.h"
#include "agora/moe/batch_rows.h"
#include "agora/moe/expert/expert.h"
#include "agora/moe/experts.h"
#include "agora/moe/gate/gate.h"
#include "agora/moe/shared_expert.h"

namespace agora::moe {

// What the frequencies of the auxiliary loss are counted over.
enum class AuxScope : uint8_t {
  micro_batch,   // the tokens of this forward() (Switch)
  sequence,      // each sequence by itself (DeepSeek-V3)
  global_batch,  // every forward() since clear_loads() (Qwen): lets sequences specialise
};

struct MoeLayerConfig {
  GateDescriptor gate;
  int64_t d = 0;                   // D
  int64_t shared_h = 0;            // hidden width of the SwiGLU expert that serves every token; 0: none
  bool shared_gate = false;        // its answer is multiplied by sigmoid(x . w) (Qwen2-MoE)
  float aux_loss_coefficient = 0;  // Switch's loss
  AuxScope aux_scope = AuxScope::micro_batch;
  float z_loss_coefficient = 0;  // router z-loss
  float bias_rate = 0;           // of the selection bias, a step
  float deviation = 0.02f;       // of first weights: gate, shared gate and up
  float deviation_down = 0.02f;  // of the shared expert's down
};

// InvalidArgument that names the field.
Status validate(const MoeLayerConfig& config);

struct MoeCall {
  GateMode mode = GateMode::infer;
  Rng rng{0};  // for gate noise: fork it by step; every layer forks it by its number
  Deadline deadline = kNoDeadline;
  bool runner_up = false;   // the route names each token's runner-up, who may stand in for a lost expert
  float loss_scale = 1.0f;  // of the layer's own losses: 1 / micro-batches of the step
  std::span<const int32_t> sequence_first{};  // [sequences + 1]; for AuxScope::sequence; empty: one sequence
};

struct MoeStats {
  std::vector<int64_t> loads;  // [C] tokens a candidate got
  LoadSpread spread;           // of the open experts behind the seam
  double routing_entropy = 0;  // mean over tokens of the entropy of the gate's probabilities, in nats
  float aux_loss = 0;          // coefficient * loss_scale * loss, as it is in the training loss
  float z_loss = 0;
  int64_t choices = 0;  // that went to the seam
  int64_t choices_arrived = 0;
  int64_t tokens_unserved = 0;  // that chose experts behind the seam and got none of them
};

// One forward pass, kept for its backward and for explain(). Reused from step to step.
struct MoeSaved {
  Route route;   // over all candidates
  Route called;  // the part of it that goes through the seam
  GateSaved gate;
  std::vector<uint8_t> arrived;  // [choices of route] 1 where the summand is in y
  std::vector<float> scale;      // [T] see missing.h; empty where nothing is missing
  Ticket ticket;
  BatchRows<float> dlogits{Purpose::gradient};  // [T, C] of the layer's own losses
  SharedSaved shared;
  BatchRows<float> dsum{
      Purpose::scratch};  // [T, D] of the routed sum, in backward() where scale is not empty
};

class MoeLayer {
 public:
  // experts must outlive the layer. InvalidArgument: see validate().
  static StatusOr<std::unique_ptr<MoeLayer>> create(const std::string& name, LayerId layer,
                                                    const MoeLayerConfig& config, Experts& experts,
                                                    Train train);

  void initialise(const Rng& rng);
  void repack(const Compute& compute);  // after every change of the weights

  // x [T, D] -> y [T, D], written whole. keep == for_backward opens a ticket that backward() or release()
  // uses up. Where summands did not arrive and the gate normalises, the token's sum is scaled by all weights
  // / arrived weights. Errors: of the gate and of the seam; nothing is kept then.
  StatusOr<MoeStats> forward(const Compute& compute, View<const float> x, const MoeCall& call, Keep keep,
                             View<float> y, MoeSaved& saved);

  // x as in forward. dx [T, D] is written whole; parameters' gradients are added to, the losses' included.
  // Errors: of the seam; the layer's own gradients have not been touched then, and the ticket, which may be
  // open still, waits for another backward() or release().
  Status backward(const Compute& compute, View<const float> x, MoeSaved& saved, View<const float> dy,
                  View<float> dx, Deadline deadline = kNoDeadline);

  void release(MoeSaved& saved);  // instead of backward()

  // Tokens that each of the E experts got in every forward() in GateMode::train since clear_loads().
  std::span<const int64_t> loads() const { return std::span(loads_).first(config_.gate.experts); }
  LoadSpread spread() const;  // of those of loads() that are open
  void clear_loads();
  // Steers by `loads` [E], whoever counted them: those experts that are wholly in (entry bias 0) against
  // each other. Nothing without a selection bias or with bias_rate 0.
  void move_selection_bias(std::span<const int64_t> loads);

  // From now on asks these, which must outlive the layer; not between forward() and its backward().
  void use_experts(Experts& experts) { experts_ = &experts; }

  const MoeLayerConfig& config() const { return config_; }
  Gate& gate() { return gate_; }
  void append_parameters(std::vector<Parameter*>& to);  // without the gate's selection bias: see Gate

 private:
  MoeLayer(const std::string& name, LayerId layer, const MoeLayerConfig& config, Gate gate, Experts& experts,
           Train train);

  View<const float> constant_rows() const;
  // Of loads [C], those of the open candidates that are numbered below `end`.
  std::vector<int64_t> open_part(std::span<const int64_t> loads, int64_t end) const;
  void losses(const Compute& compute, const MoeCall& call, Keep keep, MoeSaved& saved, MoeStats& stats);

  LayerId layer_;
  MoeLayerConfig config_;
  Gate gate_;
  Experts* experts_;
  std::unique_ptr<SharedExpert> shared_;  // null without
  std::unique_ptr<Parameter> constants_;  // [constant_experts, D]; null without
  std::vector<int64_t> loads_;            // [C]
};

}  // namespace agora::moe
