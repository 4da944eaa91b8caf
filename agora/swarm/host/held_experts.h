// The experts that one host holds: their mixture, versions, roles, and the rules by which updates touch them.
//
//   HeldExperts held(compute, spec);
//   held.adopt({layer, expert}, Role::leader, 1);                     // first weights by name, or from a snapshot
//   auto answer = held.mix({...}, y);                                 // a missing expert is data, not an error
//   held.mix_backward(update, ticket, dy, dx, dweights);              // applied exactly once
//
// It wraps moe::LocalExperts, whose arithmetic it does not change: four hosts in synchronous mode are bit for
// bit LocalExperts with parts = 4. One thread at a time: the host's compute thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "agora/moe/local_experts.h"
#include "agora/peers/peer_id.h"
#include "agora/swarm/peer_state.h"
#include "agora/swarm/spec.h"

namespace agora::swarm {

struct ExpertName {
  LayerId layer;
  ExpertId expert;
  friend auto operator<=>(const ExpertName&, const ExpertName&) = default;
};

enum class Role : uint8_t { follower, leader };

// Names a gradient for ever: whatever is sent under one key is applied once.
struct UpdateKey {
  peers::PeerId trainer;
  uint64_t run = 0;  // of the trainer's process: a restarted one counts its steps anew
  uint64_t step = 0;
  uint32_t micro_batch = 0;
  uint32_t part = 0;  // of the micro-batch's route in this layer: one call to one host
  LayerId layer;
  friend auto operator<=>(const UpdateKey&, const UpdateKey&) = default;
};

struct HeldMix {
  std::vector<uint8_t> arrived;   // [choices]; 0: not held here
  std::vector<uint64_t> version;  // [choices] of the expert, where arrived
  moe::Ticket ticket;
};

struct UpdateOutcome {
  enum class Kind : uint8_t {
    applied,
    repeated,     // was applied before; the answer is computed or remembered, nothing moved
    too_old,      // older than age_max for some experts: dx is right, their gradients were dropped
    not_leading,  // likewise for experts that this host only follows
  };
  Kind kind = Kind::applied;
};

class HeldExperts {
 public:
  virtual ~HeldExperts() = default;

  virtual StatusOr<HeldMix> mix(LayerId layer, moe::View<const float> x, const moe::Route& route,
                                moe::Keep keep, moe::View<float> y) = 0;
  // Exact mode: every choice's weighted row by itself, entries [choices, D] in the order of the route; those
  // not held are 0.
  virtual StatusOr<HeldMix> mix_entries(LayerId layer, moe::View<const float> x, const moe::Route& route,
                                        moe::View<float> entries) = 0;
  // As moe::Experts::mix_backward, once for each key. InvalidArgument also: |dy| beyond the spec's limit.
  virtual StatusOr<UpdateOutcome> mix_backward(const UpdateKey& key, moe::Ticket ticket,
                                               moe::View<const float> dy, moe::View<float> dx,
                                               std::span<float> dweights) = 0;
  virtual void release(moe::Ticket ticket) = 0;
  // Synchronous mode: steps what this host leads. Once for each (trainer, run, step).
  virtual Status end_step(const UpdateKey& step, const moe::StepSettings& settings) = 0;
  // Asynchronous mode: steps what has enough rows or has waited long enough. Gives when to call again.
  virtual int64_t step_what_is_due(int64_t now_ns) = 0;
};

}  // namespace agora::swarm
