// Lets the experts that are added to a running swarm into a trunk's gates, and shuts out what is retired.
//
//   GateGrowth growth(loop, transport, directory, spec, *trunk, compute, {});
//   growth.begin(step);                 // the trunk is as it will be trained from: first, taken or resumed
//   growth.after_step(step);            // averaging included: it may have changed the gates
//   growth.on_validation(loss, step);   // undoes a newcomer for which the model gets worse
//
// The trunk has room for spec.experts_max experts in each gate (model::with_room). What the hosts' records
// say is looked at once a second; swarm/growth.h decides; this writes entry biases, seats newcomers and asks
// hosts to retire what was undone, until they say that it is. Of the trainers in the directory the one of the
// lowest peer id decides what is undone. One thread: the trainer's.
#pragma once

#include <set>
#include <vector>

#include "agora/base/loop.h"
#include "agora/model/model.h"
#include "agora/peers/directory/directory.h"
#include "agora/peers/transport/transport.h"
#include "agora/swarm/growth.h"
#include "agora/swarm/spec.h"

namespace agora::train {

class GateGrowth {
 public:
  // All are borrowed.
  struct Place {
    base::Loop& loop;
    peers::Transport& transport;
    peers::Directory& directory;
  };
  GateGrowth(const Place& place, const swarm::SwarmSpec& spec, model::Model& trunk,
             const kernels::Compute& compute, const swarm::GrowthConfig& config)
      : place_(place), spec_(spec), trunk_(trunk), compute_(compute), growth_(spec.experts, config) {}

  // Closes what no swarm begins with; for a trunk of first weights, before begin().
  void close_room();
  void begin(int64_t step);
  void after_step(int64_t step);
  // Those that this validation undid.
  std::vector<swarm::ExpertName> on_validation(double loss, int64_t step);
  // A step came to no finite loss. True: a newcomer may be why, and is watched or undone; try again.
  bool on_broken_step(int64_t step);

 private:
  bool decides() const;
  std::set<swarm::ExpertName> idle() const;
  void ask_to_retire();
  bool set_entry(LayerId layer, int64_t step);
  void apply(int64_t step);

  Place place_;
  const swarm::SwarmSpec& spec_;
  model::Model& trunk_;
  kernels::Compute compute_;
  swarm::Growth growth_;
  int64_t next_census_ns_ = 0;
};

}  // namespace agora::train
