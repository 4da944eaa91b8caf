// How good answers are while hosts are dead or messages are lost: a small text model, trained inside of the
// simulation by production's trainer, then asked as a server asks.
//
//   AGORA_ASSIGN_OR_RETURN(QualityCurve curve, measure_quality(scenario, seed, /*replicas=*/2));
//   print(quality_text(curves));            // the same bytes for the same scenario and seed
//
// The swarm trains on a text that it makes itself, so it needs nothing of the machine. Then the trainer's
// gates ask the experts in exact mode, with runners-up, for the loss of a text held back: first while
// messages are lost, then while more and more hosts are killed, a second apart: mostly too fast for new
// replicas, so what is seen is what replicas, the next-best expert and rescaling are worth by themselves.
// One thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agora/sim/scenario.h"

namespace agora::sim {

struct QualityPoint {
  double share = 0;       // of messages lost, or of hosts dead
  double perplexity = 0;  // a character
  double mass_lost = 0;   // share of the gates' weight
  double by_next = 0;     // share of the choices that the runner-up served
  double batch_ms = 0;    // mean time of a batch of validation, of the gate's clock
};

struct QualityCurve {
  int64_t replicas = 0;
  int64_t steps = 0;
  double guess = 0;  // perplexity of who knows nothing: the characters
  std::vector<QualityPoint> messages_lost, hosts_dead;
};

// Of the scenario hosts, layers, experts, chosen, room and latency are looked at. Unavailable: it could not
// train. DeadlineExceeded: somebody waits for ever.
StatusOr<QualityCurve> measure_quality(const Scenario& scenario, uint64_t seed, int64_t replicas,
                                       int64_t steps);

std::string quality_text(const Scenario& scenario, uint64_t seed, const std::vector<QualityCurve>& curves);

}  // namespace agora::sim
