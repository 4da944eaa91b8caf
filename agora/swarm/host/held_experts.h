// The experts that one host holds: their mixture, versions, roles, and the rules by which updates touch them.
//
//   held->adopt({layer, expert});   held->set_role({layer, expert}, Role::leader, 1);
//   auto answer = held->mix(layer, x, route, keep, y);             // a missing expert is data, not an error
//   held->mix_backward(update, ticket, dy, dx, dweights, on_rows);   // applied exactly once
//   held->step_what_is_due(now);
//
// ExpertStore (expert_store.h) holds them; the simulator puts before it one that takes virtual time and is
// watched. Host (host.h) decides what is held, HostService brings the calls. One thread at a time: the host's
// compute thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agora/base/bytes.h"
#include "agora/moe/local_experts.h"
#include "agora/peers/peer_id.h"
#include "agora/peers/transport/payload.h"
#include "agora/swarm/peer_state.h"
#include "agora/swarm/spec.h"

namespace agora::swarm {

struct ExpertName {
  LayerId layer;
  ExpertId expert;
  friend auto operator<=>(const ExpertName&, const ExpertName&) = default;
};

enum class Role : uint8_t { follower, leader };

// Names a gradient for ever: whatever is sent under one key an expert takes once.
struct UpdateKey {
  peers::PeerId trainer;
  uint64_t run =
      0;  // of the trainer's process: a restarted one counts its steps anew. A later run is greater
  // Never given twice in a run, and rising: RemoteExperts takes its ticket's number, and counts ends of steps
  // by themselves.
  uint64_t step = 0;
  uint32_t micro_batch = 0;
  uint32_t part = 0;  // of the micro-batch's route in this layer: one call to one host
  LayerId layer;
  // A part whose experts have gone to several hosts since goes on in pieces, and one host may get two of
  // them: each is answered by itself. Names the piece's route, 0: a whole part. It does not travel.
  uint32_t piece = 0;
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
    repeated,     // was applied before; only the answer was worked out again
    too_old,      // older than age_max for some experts: dx is right, their gradients were dropped
    not_leading,  // likewise for experts that this host only follows
  };
  Kind kind = Kind::applied;
};

// Answers the caller, and gives what it answered.
using OnRows = std::function<peers::Payload(UpdateOutcome)>;

// What became of updates since the start.
struct UpdateCounters {
  uint64_t applied = 0, repeated = 0, too_old = 0, not_leading = 0;
  uint64_t refused = 0;            // wrong shape, not finite, too large
  uint64_t steps = 0;              // of experts' optimizers
  uint64_t gradients_dropped = 0;  // at a step: they had grown beyond what is finite
};

// One held expert, as the host's other threads may know it.
struct Holding {
  ExpertName name;
  Role role = Role::follower;
  uint32_t epoch = 0;
  uint64_t version = 0;
  int64_t rows = 0;  // served since the last holdings()
};

class HeldExperts {
 public:
  virtual ~HeldExperts() = default;

  // ---- calls

  // InvalidArgument also, where a backward follows: rows or weights so large that an expert's gradient, with
  // what other trainers gave it, would not stay finite.
  virtual StatusOr<HeldMix> mix(LayerId layer, moe::View<const float> x, const moe::Route& route,
                                moe::Keep keep, moe::View<float> y) = 0;
  // Exact mode: every choice's weighted row by itself, entries [choices, D] in the order of the route; those
  // not held are 0.
  virtual StatusOr<HeldMix> mix_entries(LayerId layer, moe::View<const float> x, const moe::Route& route,
                                        moe::View<float> entries) = 0;
  // As moe::Experts::mix_backward, once for each key. InvalidArgument also: |dy| beyond the spec's limit.
  // Unavailable: an expert is being handed over to another host; nothing was touched, ask again in a moment.
  // If it does not fail, on_rows is called once when dx and dweights are whole, before what experts take is
  // worked out: the trainer need not wait for that. What it gives is remembered for a while.
  virtual Status mix_backward(const UpdateKey& key, moe::Ticket ticket, moe::View<const float> dy,
                              moe::View<float> dx, std::span<float> dweights, const OnRows& on_rows) = 0;
  // What was answered to this update before; nothing: it is new, or that is forgotten.
  virtual std::optional<peers::Payload> answered(const UpdateKey& key) = 0;
  virtual void release(moe::Ticket ticket) = 0;
  // Synchronous mode: steps what this host leads, or where no settings come drops its gradients: the step is
  // given up. Once for each (trainer, run, step).
  virtual Status end_step(const UpdateKey& step, const std::optional<moe::StepSettings>& settings) = 0;
  // Asynchronous mode: steps what has enough rows or has waited long enough. Call it after every backward;
  // gives when to call again at the latest, INT64_MAX: when another backward has come.
  virtual int64_t step_what_is_due(int64_t now_ns) = 0;

  // ---- what is held

  // First weights, version 0, a follower of epoch 0; nothing if it is held already.
  virtual void adopt(ExpertName expert) = 0;
  virtual void drop(ExpertName expert) = 0;
  virtual void set_role(ExpertName expert, Role role, uint32_t epoch) = 0;
  // Takes no updates meanwhile (see mix_backward): its last snapshot is on its way. Gradients that wait for a
  // step are stepped with first; false: they can not be (a synchronous step is under way), it is not frozen
  // then.
  virtual bool freeze(ExpertName expert, bool frozen) = 0;
  // Weights, moments, version, epoch: what a follower pulls and the disk keeps (snapshot.h). NotFound: not
  // held.
  virtual StatusOr<std::vector<std::byte>> snapshot(ExpertName expert) = 0;
  // Makes the expert what the snapshot says, its role a follower; adopts it if need be. InvalidArgument,
  // DataLoss: not such a snapshot; nothing has changed then.
  virtual StatusOr<Holding> restore(ExpertName expert, base::Bytes snapshot) = 0;
  // A copy of `from` under another number, its weights moved by noise of `deviation` times their own; version
  // 0.
  virtual Status copy(ExpertName from, base::Bytes snapshot, ExpertName to, float deviation) = 0;
  virtual std::vector<Holding> holdings() = 0;  // ascending
  virtual UpdateCounters counters() const = 0;
};

}  // namespace agora::swarm
