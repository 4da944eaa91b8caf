#include "agora/sim/random_scenario.h"

#include <cmath>

#include "agora/base/rng.h"

namespace agora::sim {
namespace {

class Draws {
 public:
  Draws(uint64_t seed, std::string_view what) : rng_(Rng(seed).fork(what)) {}

  bool one_in(uint32_t n) { return rng_.below(n) == 0; }
  int64_t from_to(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(rng_.below(static_cast<uint32_t>(high - low + 1)));
  }
  // In steps of 1 / parts, so that its text is short.
  double number(double low, double high, int parts = 1) {
    return static_cast<double>(from_to(std::llround(low * parts), std::llround(high * parts))) / parts;
  }
  // Off in every other scenario.
  double maybe(double low, double high) {
    const double value = number(low, high, 100);
    return one_in(2) ? 0.0 : value;
  }

 private:
  Rng rng_;
};

// What happens to peers, their clocks and the hash table; messages arrive, some twice or late by a little.
void draw_failing_peers(Draws& draw, FaultPlan& f) {
  f.crash_every_s = draw.maybe(8, 25);
  f.restart_after_s = draw.number(2, 20);
  f.gate_crash_every_s = draw.maybe(10, 30);
  f.leave_every_s = draw.maybe(10, 30);
  f.dht_down_every_s = draw.maybe(10, 30);
  f.clock_drift_ppm = draw.maybe(100, 1000);
  f.clock_offset_s = draw.maybe(10, 1000);
  f.duplicate = draw.maybe(0.05, 0.5);
  f.replay = draw.maybe(0.05, 0.5);
}

void draw_failing_ways(Draws& draw, FaultPlan& f) {
  f.loss = draw.maybe(0.02, 0.3);
  f.reorder = draw.maybe(0.05, 0.5);
  f.freeze_every_s = draw.maybe(10, 30);
  f.freeze_s = draw.number(2, 12);
  f.partition_every_s = draw.maybe(12, 40);
  f.partition_s = draw.number(2, 25);
  f.clog_every_s = draw.maybe(10, 30);
  f.slow_every_s = draw.maybe(10, 30);
  f.clock_jump_every_s = draw.maybe(10, 30);
}

void draw_failing_disks(Draws& draw, FaultPlan& f) {
  f.disk_full_every_s = draw.maybe(5, 20);
  f.disk_full_s = draw.number(5, 30);
  f.disk_flip = draw.maybe(0.05, 0.5);
  f.disk_torn = draw.maybe(0.2, 1);
}

// Deaths that are no accidents of one host: so many an hour that each comes or goes once or twice in a run,
// and many in one moment.
void draw_many_deaths(Draws& draw, FaultPlan& f) {
  f.churn_per_hour = draw.maybe(20, 120);
  f.kill_at_once = draw.maybe(0.3, 0.8);
}

}  // namespace

Scenario random_scenario(uint64_t seed) {
  Draws draw(seed, "scenario");
  Scenario s;
  s.name = "random";
  s.hosts = draw.from_to(3, 8);
  s.gates = draw.from_to(1, 3);
  s.layers = draw.from_to(1, 2);
  s.experts = draw.from_to(4, 8);
  s.chosen = draw.from_to(1, 3);
  s.replicas = draw.from_to(2, 3);
  constexpr const char* kLatencies[] = {"lan", "home", "world"};
  s.latency = kLatencies[draw.from_to(0, 2)];
  s.warm_up_s = 15;
  s.faults_s = 45;
  s.calm_s = 75;
  s.callers = draw.from_to(1, 3);
  s.rows = draw.from_to(1, 6);
  s.think_ms = draw.number(200, 800);
  s.deadline_s = draw.number(5, 10);
  s.training = draw.number(0.3, 0.9, 10);
  if (draw.one_in(5)) {
    s.hot_expert = draw.from_to(0, s.experts - 1);
    s.hot = draw.number(0.2, 0.8, 10);
  }
  if (draw.one_in(5)) s.flash_crowd_s = draw.number(3, 15);
  s.row_us = draw.number(2, 40);
  s.faults.off = 0;  // drawn here
  draw_failing_peers(draw, s.faults);
  if (!draw.one_in(3)) draw_failing_ways(draw, s.faults);
  draw_failing_disks(draw, s.faults);
  draw_many_deaths(draw, s.faults);
  s.faults.rare = draw.maybe(0.1, 0.4);
  Draws trainers(seed, "trainers");  // by themselves: what a seed means otherwise stays as it was
  if (trainers.one_in(5)) s.trainers = trainers.from_to(1, 3);
  Draws load(seed, "load");  // likewise
  // Calls wait in their hosts' queues. Trainers' batches would be all that they do.
  if (load.one_in(4) && s.trainers == 0) s.row_us = load.number(200, 1000);
  return s;
}

}  // namespace agora::sim
