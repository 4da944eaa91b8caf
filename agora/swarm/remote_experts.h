// Experts on other machines: the second answer to the seam.
//
//   RemoteExperts experts(loop, transport, finder, spec, {.priority = Priority::interactive, .exact = true});
//   auto model = Model::create(config, experts, Train::no);
//
// mix() plans with a MixCall (a state machine: which host gets which choices, what to do when one is late or
// lost), sends each token's row to a host at most once, and sleeps until the sums are there; with a baton it
// lets others compute meanwhile. Sums over hosts are added in the order of their lowest expert number; in
// exact mode rows come back by themselves and are added in the order of expert numbers. Bytes on the wire for
// T tokens, K experts, P hosts: at most min(K, P) * T * D * (bytes of dtype) to the hosts and as much back
// (f32: 4). One call per host and layer. Every mix_backward() is an update of its own, named by its ticket.
// Several threads may call at the same time, for different tickets.
#pragma once

#include <cstdint>
#include <memory>

#include "agora/base/baton.h"
#include "agora/base/loop.h"
#include "agora/moe/experts.h"
#include "agora/peers/transport/transport.h"
#include "agora/swarm/mix_observer.h"
#include "agora/swarm/spec.h"
#include "agora/swarm/wire/rows.h"

namespace agora::swarm {

class Finder;

constexpr int64_t kTicketsMax = 1024;  // 8 micro-batches in flight of 128 layers

struct RemoteExpertsConfig {
  peers::Priority priority = peers::Priority::training;
  bool exact = false;
  RowDtype rows = RowDtype::bf16;       // of x and dy to the hosts, and dx and partial sums back
  int64_t timeout_ns = 10'000'000'000;  // of a call whose Deadline is kNoDeadline: never for ever
  // Of one host's answer, and a millisecond more for each choice it was asked for; then another is asked. 0:
  // half a second for interactive calls, else 2.5 s. Less where the host has answered sooner so far, see
  // Finder::patience_ns().
  int64_t attempt_ns = 0;
  int64_t tickets_max = kTicketsMax;  // kept rows and routes of forwards; the oldest is forgotten first
  uint64_t seed = 1;                  // of the draws among replicas
  uint64_t run = 1;                   // of this trainer's process: every start needs a greater one
  base::Baton* baton = nullptr;
  MixObserver* observer = nullptr;  // borrowed; told of every mix(), see mix_observer.h
};

// What became of the choices since the last take_report(), summed over all calls.
struct MixReport {
  uint64_t calls = 0, rows = 0;
  uint64_t by_replica = 0, by_hedge = 0, by_next_expert = 0;  // choices served that way
  uint64_t lost = 0;                                          // choices that nobody served
  double gate_mass = 0;                                       // sum of all weights ...
  double gate_mass_lost = 0;                                  // ... and of those that were lost
  uint64_t updates_refused = 0;                               // too old, or no leader took them
  uint64_t gradients_lost = 0;                                // choices whose gradient nobody answered
  uint64_t tickets_resent = 0;                                // x was sent again because its ticket had gone
  int64_t bytes_sent = 0, bytes_received = 0;
};

class RemoteExperts final : public moe::Experts {
 public:
  RemoteExperts(base::Loop& loop, peers::Transport& transport, Finder& finder, const SwarmSpec& spec,
                const RemoteExpertsConfig& config);
  ~RemoteExperts() override;

  // Names the request that this thread's calls belong to from now on; 0: none (see trace.h).
  static void set_trace(uint64_t trace);

  StatusOr<moe::MixResult> mix(LayerId layer, moe::View<const float> x, const moe::Route& route,
                               moe::Keep keep, moe::Deadline deadline, moe::View<float> y) override;
  // What one host refuses another may take, or it is lost, which is data. InvalidArgument of hosts: none took
  // any of it; the ticket is used up then too.
  Status mix_backward(moe::Ticket ticket, moe::View<const float> dy, moe::Deadline deadline,
                      moe::View<float> dx, std::span<float> dweights) override;
  void release(moe::Ticket ticket) override;
  // Synchronous swarms: every host that got gradients steps; returns when all have answered, or are known to
  // be gone. InvalidArgument: a host's gradients were not finite; it dropped them, and the others have
  // stepped. Asynchronous: tells the hosts the learning rate, waits for nobody.
  Status end_step(const moe::StepSettings& settings) override;
  // Synchronous swarms: every host that got gradients forgets them; returns as above. In asynchronous ones
  // they may have been stepped with already.
  void drop_gradients() override;

  void set_rows(RowDtype rows);  // of the calls from now on, instead of the configuration's

  MixReport take_report();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace agora::swarm
