// What a run is of: how large a swarm, on what network, under which load and which faults, for how long.
//
//   AGORA_ASSIGN_OR_RETURN(Scenario scenario, parse_scenario(toml, "churn.toml"));
//   scenario.hosts = 1000;   AGORA_RETURN_IF_ERROR(validate(scenario));
//
// A file is TOML, one `name = value` a line, with the names below; faults in a section [faults]. What is not
// named has the value given here. Times are in the unit of their names. A value type.
#pragma once

#include <cstdint>
#include <string>

#include "agora/base/result.h"
#include "agora/swarm/spec.h"

namespace agora::sim {

// Kinds of faults. A kind with 0 never happens. Events come at random, `every_s` apart in the mean, over the
// whole swarm, 0.01 s at least; shares are of messages.
struct FaultPlan {
  // Messages, during bursts that come and go; the loss of a burst is drawn up to this.
  double loss = 0, duplicate = 0, reorder = 0, replay = 0;
  // Events.
  double crash_every_s = 0;     // a host; half of them by the machine, so that there is silence
  double restart_after_s = 10;  // mean of a crash's pause; 0: never
  double gate_crash_every_s = 0;
  double freeze_every_s = 0;
  double freeze_s = 5;
  double partition_every_s = 0;  // symmetric, one-way or flapping
  double partition_s = 8;
  double clog_every_s = 0;  // a peer's uplink
  double clog_s = 5;
  double slow_every_s = 0;  // a host computes 20 times slower
  double slow_s = 10;
  double clock_jump_every_s = 0;
  double clock_jump_s = 30;    // at most
  double clock_drift_ppm = 0;  // at most, of every clock
  double clock_offset_s = 0;   // at most, of every clock
  double leave_every_s = 0;    // a host leaves in order, and comes back
  double churn_per_hour = 0;   // share of the hosts that crash; how long one stays is heavy-tailed
  double kill_at_once = 0;     // share of the hosts that crash together, in the middle of the faults
  double dht_down_every_s = 0;
  double dht_down_s = 20;
  double disk_full_every_s = 0;  // a host's disk
  double disk_full_s = 20;
  double disk_flip = 0;  // share of reads that find a bit turned over
  double disk_torn = 0;  // share of power cuts that tear a file
  // The chance that one of production's limits is set so low in a run that what it guards happens all the
  // time: full queues, forgotten tickets and updates, hosts given up early, snapshots one at a time.
  double rare = 0;
  // Of the kinds above that are on, each is switched off in a run with this chance.
  double off = 0.4;
};

struct Scenario {
  std::string name = "unnamed";
  int64_t hosts = 6, gates = 2;
  int64_t trainers = 0;  // of a tiny model: production's trainer, trunks averaged
  int64_t layers = 2, experts = 8, chosen = 2;
  int64_t replicas = 2;
  int64_t room = 0;             // experts of a host; 0: so that all hosts together have twice what is wanted
  std::string latency = "lan";  // lan, home, world
  double warm_up_s = 15;        // without faults: until experts are led
  double faults_s = 60;         // first safety ...
  double calm_s = 30;           // ... then liveness
  // Load.
  int64_t callers = 2;  // of each gate
  int64_t rows = 4;     // of a question
  double think_ms = 200;
  double deadline_s = 10;
  double training = 0.5;    // share of questions that train
  int64_t hot_expert = -1;  // is chosen by this share of tokens more than by chance
  double hot = 0;
  double flash_crowd_s = 0;  // in the middle of the faults, so long, gates think a tenth
  double row_us = 5;         // of a host's time for a row of an expert
  double loss_window_s = 10;
  FaultPlan faults;
};

// InvalidArgument naming the file and the field.
StatusOr<Scenario> parse_scenario(const std::string& toml, const std::string& where);
Status validate(const Scenario& scenario);
// The swarm that a run of it is of. Its numbers are in range; that the swarm is too, validate() says.
swarm::SwarmSpec spec_of(const Scenario& scenario);
// Experts that each of its hosts takes.
int32_t room_of(const Scenario& scenario);
// A scenario's times on the simulator's clocks: in whole milliseconds, the rest is cut.
int64_t ns_of(double seconds);
// As parse_scenario reads it: what differs from the values above.
std::string scenario_text(const Scenario& scenario);

}  // namespace agora::sim
