#include "agora/sim/checkers/trunks.h"

#include <algorithm>

namespace agora::sim {

using base::concat;

void TrunksAgree::on_step(const StepFact& fact) {
  const std::string trainer = concat("trainer ", fact.peer);
  if (!fact.status.ok()) {
    if (settled(fact.at_ns - step_ns_max_)) {
      violated(fact.at_ns, concat(trainer, " to take its steps in calm"), fact.status.ToString());
    }
    return;
  }
  if (settled(fact.at_ns - step_ns_max_) && fact.choices_arrived < fact.choices) {
    violated(fact.at_ns, concat(trainer, "'s step ", fact.step, " to be served whole in calm"),
             concat(fact.choices_arrived, " of ", fact.choices, " choices"));
  }
  if (fact.contributors > trainers_) {
    violated(fact.at_ns, concat(trainer, "'s trunk to be of at most ", trainers_, " trainers"),
             concat(fact.contributors));
  }
  Last& last = last_[fact.peer];
  if (fact.trunk_rows < last.rows) {
    violated(fact.at_ns, concat(trainer, "'s trunk to have learned from ", last.rows, " rows or more"),
             concat(fact.trunk_rows));
  }
  last = {.at_ns = fact.at_ns, .round = fact.round, .rows = fact.trunk_rows};
}

void TrunksAgree::look(World& world) {
  if (!settled(world.now_ns())) return;
  uint64_t least = UINT64_MAX, most = 0;
  for (const Peer* trainer : world.trainers()) {
    const auto last = last_.find(trainer->number());
    if (!trainer->alive() || trainer->leaving()) continue;
    if (last == last_.end() || world.now_ns() - last->second.at_ns > step_ns_max_) {
      violated(
          world.now_ns(),
          concat("trainer ", trainer->number(), " to end a step every ", step_ns_max_ / kMillisecondNs,
                 " ms in calm"),
          last == last_.end()
              ? std::string("it never did")
              : concat("the last was ", (world.now_ns() - last->second.at_ns) / kMillisecondNs, " ms ago"));
      continue;
    }
    least = std::min(least, last->second.round);
    most = std::max(most, last->second.round);
  }
  if (most > 0 && most - least > 1) {
    violated(world.now_ns(), "trainers to be at most a round apart in calm",
             concat("rounds ", least, " and ", most));
  }
}

}  // namespace agora::sim
