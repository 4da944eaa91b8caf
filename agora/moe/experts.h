// The seam: rows go to experts, one weighted sum per token comes back. Local, remote, simulated answer alike.
//
//   MixResult r = experts.mix(layer, x, route, keep, deadline, y);  // y [T, D], what arrived, a ticket
//   experts.mix_backward(r.ticket, dy, deadline, dx, dweights);     // dx [T, D], dweights [choices]
//   experts.end_step(settings);                                     // the experts' own optimizers move
//   experts.drop_gradients();                                       // instead, after a step that failed
//
// A mixture is a sum: y[t] = sum over choices i of t of weight_i * E_i(x[t]), added in ascending order of
// expert number. A summand that did not arrive is data (arrived), not an error. Experts own their weights and
// optimizers: gradients do not cross the seam. Every implementation passes tests/conformance/experts_suite.h.
// Threads: an implementation says; all allow mix() calls for different layers or tickets one after the other.
#pragma once

#include <cstdint>
#include <vector>

#include "agora/base/ids.h"
#include "agora/base/result.h"
#include "agora/moe/route.h"
#include "agora/tensor/view.h"

namespace agora::moe {

using tensor::View;

// When the caller stops caring, in nanoseconds of the caller's clock; kNoDeadline waits for ever. There is no
// clock in moe/: local experts never look at it.
struct Deadline {
  int64_t ns = INT64_MAX;
};
constexpr Deadline kNoDeadline{};

// Names the inputs of one mix() call, kept for its backward. 0: nothing was kept.
struct Ticket {
  uint64_t value = 0;
  friend bool operator==(Ticket, Ticket) = default;
};

enum class Keep : uint8_t { nothing, for_backward };

struct MixResult {
  std::vector<uint8_t> arrived;  // [choices] 1 where the choice's summand is in y
  Ticket ticket;
};

// What an optimizer step at the end of a training step needs; the experts hold everything else.
struct StepSettings {
  int64_t step = 1;  // counts from 1
  float learning_rate = 1e-3f;
  float beta1 = 0.9f;
  float beta2 = 0.95f;
  float epsilon = 1e-8f;
  float weight_decay = 0.1f;
  float gradient_norm_max = 1.0f;  // of each expert by itself: no host knows the norm of all. 0: no clipping
};

class Experts {
 public:
  virtual ~Experts() = default;

  // x [T, D] and route of T tokens; experts in the route are numbers within the layer. Writes y [T, D] whole
  // (0 where a token has no choice). InvalidArgument: unknown layer or expert, wrong width, a value that is
  // not finite.
  virtual StatusOr<MixResult> mix(LayerId layer, View<const float> x, const Route& route, Keep keep,
                                  Deadline deadline, View<float> y) = 0;

  // dy [T, D] -> dx [T, D] (written whole) and dweights [choices] in the route's order: the gradient of the
  // sum by each choice's weight. The experts' own gradients are added up until end_step. Uses the ticket up.
  // NotFound: unknown or expired ticket (call mix again). InvalidArgument: wrong shape, a value that is not
  // finite; the ticket stays then.
  virtual Status mix_backward(Ticket ticket, View<const float> dy, Deadline deadline, View<float> dx,
                              std::span<float> dweights) = 0;

  // Forgets a ticket whose backward will not come.
  virtual void release(Ticket ticket) = 0;

  // Ends a training step: every expert clips, steps its optimizer and clears its gradients. An error leaves
  // all weights as they were and drops the gradients.
  virtual Status end_step(const StepSettings& settings) = 0;

  // Gives a training step up: gradients since the last end_step() are forgotten, all weights stay.
  virtual void drop_gradients() = 0;
};

}  // namespace agora::moe
