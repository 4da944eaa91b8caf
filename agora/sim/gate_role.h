// A simulated gate: callers that ask the swarm's experts through production's RemoteExperts, with routes of
// their own making.
//
//   world.add_gate({.callers = 4, .rows = 8, .training_ppm = 500'000});
//
// A caller draws rows and a route, asks, sends a gradient if it trains, thinks, and asks again. Rows are
// numbers that bf16 holds exactly, so that what comes back can be checked. One thread, the world's.
#pragma once

#include <memory>
#include <vector>

#include "agora/base/until_stopped.h"
#include "agora/sim/peer.h"
#include "agora/swarm/finder/finder.h"
#include "agora/swarm/remote_experts.h"
#include "agora/train/patient_experts.h"

namespace agora::sim {

struct GateSettings {
  int callers = 2;
  int64_t rows = 4;    // T of a question
  int64_t chosen = 2;  // K
  uint32_t training_ppm =
      500'000;  // share of callers' questions that train; the others are interactive, exact
  int64_t think_ns = 100 * kMillisecondNs;  // mean
  int64_t deadline_ns = 10 * kSecondNs;     // of a question
  int64_t attempt_ns = 0;                   // of one host's answer; 0: production's
  int64_t tickets_max = 64;                 // of forwards whose backward may come
  int32_t hot_expert = -1;                  // this one ...
  uint32_t hot_ppm = 0;                     // ... is among the choices of so many tokens more than by chance
};

struct GateCounters {
  uint64_t asked = 0, answered = 0, failed = 0, gradients = 0, gradients_failed = 0;
};

class GateRole final : public PeerRole {
 public:
  // settings may change under way, but for `callers`.
  GateRole(Process& process, const swarm::SwarmSpec& spec, const GateSettings& settings);
  ~GateRole() override;

  void describe(swarm::PeerState& state) const override;
  void leave(std::function<void()> done) override;
  void stop_callers() override;
  GateRole* as_gate() override { return this; }

  const GateCounters& counters() const { return counters_; }
  swarm::Finder& finder() { return finder_; }

 private:
  class Seen;  // hears who served what
  struct Question;

  void call_on(uint64_t seed);
  void ask(Rng& rng);
  void draw(Rng& rng, Question& question) const;
  void send_gradient(Rng& rng, Question& question, moe::Ticket ticket);
  bool think(int64_t ns);  // false: it is time to go

  Process& process_;
  const swarm::SwarmSpec& spec_;
  const GateSettings& settings_;
  swarm::Finder finder_;
  std::unique_ptr<Seen> seen_training_, seen_interactive_;
  swarm::RemoteExperts training_, interactive_;
  train::PatientExperts patient_;
  base::UntilStopped until_stopped_;
  uint64_t questions_ = 0;
  GateCounters counters_;
};

}  // namespace agora::sim
