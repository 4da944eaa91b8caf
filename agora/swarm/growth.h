// How a gate lets a newly added expert in, and shuts it out again if the model gets worse for it.
//
//   Growth growth(spec.experts, {});
//   growth.on_experts(layer, led_now, step);          // what the directory says is led, each step or so
//   bias += growth.bias({layer, expert}, step);       // added to the selection scores only
//   for (ExpertName bad : growth.on_validation(loss, step)) ask_to_retire(bad);
//
// An expert beyond the first `experts` starts with a bias that keeps it out of every top-k, which rises to 0
// over ramp_steps: it gets the rows that it wins narrowly first. Each validation during the ramp, and the
// first two after it, are held against the last one before the expert came: worse by more than worse_max,
// twice in a row, undoes it - its bias falls back for ever, and it is named once for whoever may retire it.
// Of several on their ramp the youngest goes first, for the others were there when the loss still was good.
//
// Pure: (event, step) -> answers. Every trainer decides for itself. One thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "agora/swarm/host/held_experts.h"

namespace agora::swarm {

struct GrowthConfig {
  int64_t ramp_steps = 200;
  float bias_first = -1.0f;  // sigmoid and softmax scores lie within 0 and 1
  double worse_max = 0.01;   // of the loss, relative
  int failures_max = 2;      // validations in a row
  int watched_after = 2;     // validations after the ramp
};

class Growth {
 public:
  explicit Growth(int64_t experts, const GrowthConfig& config = {}) : experts_(experts), config_(config) {}

  // The experts of the layer that somebody leads now, ascending. One that is not among them any more is
  // forgotten, and begins anew if it comes back.
  void on_experts(LayerId layer, const std::vector<ExpertId>& led, int64_t step);
  // Of those undone by this validation.
  std::vector<ExpertName> on_validation(double loss, int64_t step);

  // 0 for the experts that were there from the start. An added one that is not led: bias_first.
  float bias(ExpertName expert, int64_t step) const;
  bool undone(ExpertName expert) const;

 private:
  struct Newcomer {
    int64_t since_step = 0;
    std::optional<double> loss_before;
    int failures = 0;
    int watched = 0;
    bool undone = false;
  };

  int64_t experts_;
  GrowthConfig config_;
  std::map<ExpertName, Newcomer> newcomers_;
  std::optional<double> last_loss_;
};

}  // namespace agora::swarm
