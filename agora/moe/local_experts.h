// The experts of one process: the first answer to the seam, and what every host will run.
//
//   AGORA_ASSIGN_OR_RETURN(auto experts, LocalExperts::create(compute, {.layers = L, .experts = E,
//                                                                       .shape = shape}));
//   experts->initialise(rng);
//   experts->mix(LayerId{0}, x, route, Keep::for_backward, kNoDeadline, y);
//
// What is held arrives, always; nothing is dropped for capacity. No round trips, no bytes on a wire. A host
// holds a part of the experts, which changes while it runs (config.hold, hold(), drop()); choices of others
// do not arrive.
//
// An expert that got no row since the last end_step() is skipped by it: its weights, moments and weight decay
// stand still, as optimizers do for a parameter that has no gradient. (A step with a gradient of zero would
// let it drift on old momentum and shrink while nobody asks it.) Bias correction counts the run's steps, not
// the expert's own.
//
// One thread at a time; the work inside runs on compute.pool.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "agora/kernels/expert_ffn.h"
#include "agora/moe/batch_rows.h"
#include "agora/moe/combine.h"
#include "agora/moe/dispatch.h"
#include "agora/moe/expert/expert.h"
#include "agora/moe/experts.h"

namespace agora::moe {

enum class Hold : uint8_t { all, none };

struct LocalExpertsConfig {
  // Expert e of layer l is named "PREFIX.l.SUFFIX.e": model.layers.0.mlp.experts.3.
  std::string name_prefix = "model.layers";
  std::string name_suffix = "mlp.experts";
  int64_t layers = 1;   // L
  int64_t experts = 0;  // E in each
  ExpertShape shape;
  Train train =
      Train::yes;     // no: packs for forward only, a quarter of the memory and less; mix() keeps nothing
  int64_t parts = 1;  // sums are made as `parts` hosts would make them (see SumOrder)
  int64_t tickets_max =
      256;                // kept inputs; the oldest is forgotten first. One a layer and micro-batch in flight
  Hold hold = Hold::all;  // at the start
};

// What an expert did in one forward pass.
struct Served {
  ExpertId expert;
  int64_t rows = 0;
  uint64_t version = 0;  // the expert's then
};

// How much of its gradient an expert takes from a backward pass: times 2^-n, exactly; kNoGradient takes none.
using HalvingsOf = absl::FunctionRef<int(const Served&)>;
constexpr int kNoGradient = -1;

class LocalExperts final : public Experts {
 public:
  // InvalidArgument that names the field.
  static StatusOr<std::unique_ptr<LocalExperts>> create(const Compute& compute,
                                                        const LocalExpertsConfig& config);
  ~LocalExperts() override;

  // First weights, from streams forked by name; or fill parameters() and call repack().
  void initialise(const Rng& rng);
  void repack();

  // The expert's values are zero, or what it had if it is held already; repack it once they are set.
  Expert& hold(LayerId layer, ExpertId expert);
  // Its weights and gradients go, and tickets that need them.
  void drop(LayerId layer, ExpertId expert);
  bool holds(LayerId layer, ExpertId expert) const;
  bool touched(LayerId layer, ExpertId expert) const;  // has gradients since its last step

  StatusOr<MixResult> mix(LayerId layer, View<const float> x, const Route& route, Keep keep,
                          Deadline deadline, View<float> y) override;
  Status mix_backward(Ticket ticket, View<const float> dy, Deadline deadline, View<float> dx,
                      std::span<float> dweights) override;
  void release(Ticket ticket) override;

  // mix() without its sum: every choice's weighted row by itself, entries [choices, D] in the route's order,
  // 0 where it did not arrive. Added in that order they are mix()'s y with parts = 1. Keeps nothing.
  StatusOr<MixResult> mix_entries(LayerId layer, View<const float> x, const Route& route,
                                  View<float> entries);
  // Of the pass that the ticket is for, in ascending order of experts; borrowed until the next call.
  StatusOr<std::span<const Served>> served(Ticket ticket) const;
  // dx and dweights are whole whatever the experts take. A choice that had not arrived has a dweight of 0.
  // on_rows, if given, is called once when they are, if the call does not fail: kernels::experts_backward.
  Status mix_backward(Ticket ticket, View<const float> dy, HalvingsOf halvings_of, View<float> dx,
                      std::span<float> dweights, const std::function<void()>& on_rows = {});

  // InvalidArgument naming the parameter whose gradient is not finite: then no expert has moved, and all
  // gradients have been dropped, so that training may go on with the next batch.
  Status end_step(const StepSettings& settings) override;
  void drop_gradients() override;
  // Steps one expert by itself, its gradient times `gradient_scale`; settings.step counts for bias
  // correction. InvalidArgument: its gradient is not finite, and has been dropped.
  Status step(LayerId layer, ExpertId expert, const StepSettings& settings, float gradient_scale);
  void drop_gradients(LayerId layer, ExpertId expert);

  const LocalExpertsConfig& config() const { return config_; }
  Expert& expert(LayerId layer, ExpertId expert);                         // which is held
  void initialise(LayerId layer, ExpertId expert, const Rng& rng);        // as initialise(rng) does it
  std::vector<ParameterView> parameters(LayerId layer, ExpertId expert);  // of one that is held
  std::vector<ParameterView> parameters();                                // layer by layer, expert by expert
  int64_t tickets_held() const { return static_cast<int64_t>(kept_.size()); }

 private:
  struct Kept;

  StatusOr<Kept*> kept(Ticket ticket) const;
  LocalExperts(const Compute& compute, const LocalExpertsConfig& config);
  Status check(LayerId layer, View<const float> x, const Route& route, View<const float> y,
               int64_t y_rows) const;
  Status check_backward(const Kept& kept, View<const float> dy, View<const float> dx, size_t dweights) const;
  int64_t index(LayerId layer, ExpertId expert) const;
  std::string name_of(int64_t index) const;
  std::vector<uint8_t> keep_arrived(LayerId layer, const Route& route, Kept& kept) const;
  View<float> run_forward(View<const float> x, Kept& kept, kernels::ExpertSaved* hidden);
  std::vector<kernels::ExpertGroup> groups(const Kept& kept) const;
  std::unique_ptr<Kept> take_spare(int64_t rows);
  Ticket give_ticket(std::unique_ptr<Kept> kept);

  Compute compute_;
  LocalExpertsConfig config_;
  std::vector<std::unique_ptr<Expert>> experts_;  // [L * E] null where not held
  std::vector<uint8_t> touched_;                  // [L * E] has gradients
  BatchRows<float> entries_{tensor::Purpose::scratch};
  BatchRows<float> rows_{tensor::Purpose::scratch};

  uint64_t last_ticket_ = 0;
  std::map<uint64_t, std::unique_ptr<Kept>> kept_;  // by ticket, so the oldest is first; at most tickets_max
  // Memory to use again, the oldest first: never more than were in use at once, and a few.
  std::vector<std::unique_ptr<Kept>> spare_;
};

}  // namespace agora::moe
