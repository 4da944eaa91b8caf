// A scenario drawn from a seed: a small swarm, and some of the things that may happen to it.
//
//   const Scenario scenario = random_scenario(seed);
//   Checkers checkers;   Run run(scenario, seed);   checkers.watch(run, scenario);   ...
//
// Each kind of fault is off in about half of the scenarios, so that no kind hides another. In one of three
// all messages arrive in time - only peers and the hash table fail -: there the swarm has to be at its best,
// and checkers are strict (checkers.h). A new kind is drawn after the others, so that these keep what a seed
// says of them. Any thread.
#pragma once

#include <cstdint>

#include "agora/sim/scenario.h"

namespace agora::sim {

Scenario random_scenario(uint64_t seed);

}  // namespace agora::sim
