// How gates let a newly added expert in, and shut it out again if the model gets worse for it.
//
//   Growth growth(spec.experts, {});
//   growth.on_trunk(name, entry_bias, step);            // of each expert, when the trunk is from elsewhere
//   growth.on_census(take_census(records, spec), step);             // each second or so
//   gate.entry_bias = growth.bias(name, step);          // of each expert, after each step
//   if (growth.tied(name, step)) gate.seat_expert(...); // its numbers in the gate are not yet its own
//   for (ExpertName bad : growth.on_validation(loss, step, Decides::yes, idle)) ...
//   for (ExpertName bad : growth.to_retire()) ask_a_host_to_retire(bad);    // until a census says it is
//
// An expert beyond the first `experts` is closed until somebody leads it. Then, for tied_steps, it stays
// closed while every trainer gives its gate the same numbers (those of the expert that it is a copy of, or
// first ones), so that rounds of averaging find them equal everywhere. Then its bias rises from kClosed to 0
// over ramp_steps, geometrically: a thousandth is left at the end. It gets the rows that it wins narrowly
// first. One that loses its leaders on that way begins anew; one that is wholly in is from then on an expert
// as the first ones are, until it is retired. What is retired is closed at once, for ever.
//
// Each validation on its way up, for as long again, and until watched_after good ones came then, is held
// against the mean of the last few while it was still closed: worse by more than worse_max, failures_max
// times in a row, undoes it - it is closed, and named in to_retire() until hosts say that it is retired. As
// long as no row comes to it, it is as if it were closed: nothing good or bad is its doing. Of several the
// youngest goes first, for the others were there when the loss still was good. All trainers of a swarm watch;
// one decides (the caller says which), for their trunks differ by little more than noise, and many who decide
// would be many chances to be wrong.
//
// Pure: (event, step) -> answers. One thread at a time.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "agora/swarm/census.h"
#include "agora/swarm/host/held_experts.h"

namespace agora::swarm {

struct GrowthConfig {
  int64_t tied_steps = 40;  // some rounds of averaging
  int64_t ramp_steps = 160;
  double worse_max = 0.01;  // of the loss, relative
  int failures_max = 2;     // validations in a row
  int watched_after = 2;    // good validations, from ramp_steps after the ramp on
  size_t averaged = 4;      // validations that later ones are held against
};

enum class Decides : uint8_t { no, yes };

class Growth {
 public:
  explicit Growth(int64_t experts, const GrowthConfig& config = {}) : experts_(experts), config_(config) {}

  // The trunk has let the expert in so far. Without a word it is as if it had not come yet.
  void on_trunk(ExpertName expert, float entry_bias, int64_t step);
  void on_census(Census census, int64_t step);
  // Of those undone by this validation. idle: to whom no row came of late.
  std::vector<ExpertName> on_validation(double loss, int64_t step, Decides decides,
                                        const std::set<ExpertName>& idle = {});

  // moe::kClosed to 0.
  float bias(ExpertName expert, int64_t step) const;
  bool tied(ExpertName expert, int64_t step) const;
  // Whose copy it is; none: it begins from first weights.
  std::optional<ExpertId> source(ExpertName expert) const;
  bool undone(ExpertName expert) const;
  bool watches(int64_t step) const;  // somebody who is open, and could still be undone
  std::vector<ExpertName> to_retire() const;

 private:
  struct Newcomer {
    int64_t since_step = 0;
    std::optional<ExpertId> source;
    std::optional<double> loss_before;
    int failures = 0;
    int watched = 0;
    bool undone = false;
  };

  bool in(const Newcomer& newcomer, int64_t step) const {
    return step >= newcomer.since_step + config_.tied_steps + config_.ramp_steps;
  }
  const Newcomer* find(ExpertName expert) const;
  std::optional<double> recent_loss() const;
  std::vector<ExpertName> undo_youngest();

  int64_t experts_;
  GrowthConfig config_;
  std::map<ExpertName, Newcomer> newcomers_;
  std::set<ExpertName> retired_;
  std::deque<double> losses_;  // the last validations, as many as are averaged
};

}  // namespace agora::swarm
