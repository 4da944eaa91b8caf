// One training step of a trunk whose experts stand behind the seam, here or on other machines.
//
//   Stepper stepper(options, compute, *model, experts);
//   AGORA_ASSIGN_OR_RETURN(StepReport report, stepper.step(batch, plan));   // forward to optimizer
//   stepper.balance_by_own_loads();
//
// A batch is split into options.micro_batches equal parts. With a baton they are under way at the same time,
// each on a thread of its own, and compute while others wait for their experts; without, they come one after
// the other on the caller's thread. The gradient is that of the whole batch either way. With one micro-batch
// at a time a step is deterministic; with more, sums are added in the order in which answers come.
// One thread at a time.
#pragma once

#include <memory>
#include <vector>

#include "agora/base/baton.h"
#include "agora/model/model.h"
#include "agora/train/options.h"

namespace agora::train {

struct StepReport {
  int64_t step = 0;            // counts from 1
  double loss = 0;             // nats per answer, before the step
  double gate_loss = 0;        // the gates' own losses, all layers
  double max_violation = 0;    // MaxVio, mean over the layers
  double routing_entropy = 0;  // nats, mean over the layers
  double gradient_norm = 0;    // of the trunk, before clipping
  float learning_rate = 0;
  int64_t rows = 0;
  int64_t choices = 0;  // of experts behind the seam, all layers
  int64_t choices_arrived = 0;
};

struct StepPlan {
  int64_t step = 1;       // counts from 1
  int64_t optimizer = 1;  // the trunk optimizer's own steps, for its bias correction: fewer than `step` in a
                          // trainer that joined others
  float learning_rate = 0;
};

// How micro-batches share the processor.
struct Flight {
  base::Baton* baton = nullptr;  // that the experts give away while they wait; null: one after the other
  int64_t in_flight_max = 8;     // micro-batches that are under way together
};

class Stepper {
 public:
  // options, trunk and experts must outlive the stepper.
  Stepper(const TrainOptions& options, const kernels::Compute& compute, model::Model& trunk,
          moe::Experts& experts, Flight flight = {});

  // The gates' noise is drawn from this stream from now on, instead of one of options.seed.
  void use_noise(const Rng& noise) { noise_ = noise; }

  // Forward, backward, clip, the experts' end of step, optimizer. InvalidArgument: a loss or gradient that is
  // not finite, named; other errors: of the seam. The trunk is then as it was before the step, and so are
  // experts that step when told to - unless it is a gradient of theirs that one host of several found: to
  // hear all hosts before any expert moves would be another round trip a step.
  StatusOr<StepReport> step(const model::Batch& batch, const StepPlan& plan);

  // What each layer's experts got in the last step. [E]
  std::span<const int64_t> loads(LayerId layer) const;
  void balance_by_own_loads();

 private:
  struct MicroBatch;
  Status learn(const model::Batch& batch, const StepPlan& plan, StepReport& report);
  void fly(const StepPlan& plan, std::vector<MicroBatch>& parts, float scale);
  void summarise(const std::vector<MicroBatch>& parts, StepReport& report) const;
  Status move_parameters(const StepPlan& plan, const StepReport& report);

  const TrainOptions& options_;
  kernels::Compute compute_;
  model::Model& trunk_;
  moe::Experts& experts_;
  Flight flight_;
  Rng noise_;
  std::vector<tensor::Parameter*> parameters_;
  std::vector<std::unique_ptr<model::Tape>> tapes_;  // one for each micro-batch under way
};

}  // namespace agora::train
