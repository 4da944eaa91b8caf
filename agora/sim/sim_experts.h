// Held experts as a simulated host has them: the real ones, with the time that their work takes, and watched.
//
//   SimExperts held(store, compute_loop, executor, {.row_ns = 5'000}, teller);   // the executor of that loop
//   HostService service(transport, executor, held, spec, {});
//
// Arithmetic is ExpertStore's. A row of an expert takes row_ns of the host's time, three times that backward.
// What an expert took of a gradient is seen by its gradient's change, not asked of the code under test. One
// thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "agora/moe/batch_rows.h"
#include "agora/sim/compute_loop.h"
#include "agora/sim/history.h"
#include "agora/swarm/host/executor.h"
#include "agora/swarm/host/expert_store.h"

namespace agora::sim {

struct WorkTimes {
  int64_t call_ns = 20 * base::kMicrosecondNs;
  int64_t row_ns = 5 * base::kMicrosecondNs;  // D = 256, H = 1024 on one core
};

// Tells a peer's facts: fills in who and when, and is silent for the dead.
class Teller {
 public:
  Teller(History& history, std::shared_ptr<const PeerLoop> loop, PeerNumber peer, uint32_t life)
      : history_(history), loop_(std::move(loop)), peer_(peer), life_(life) {}

  template <class Fact>
  void tell(void (History::*what)(const Fact&), Fact fact) const {
    if (loop_->dead()) return;
    fact.at_ns = loop_->world_now_ns();
    fact.peer = peer_;
    fact.life = life_;
    (history_.*what)(fact);
  }
  bool wants_computed() const { return history_.wants_computed(); }

 private:
  History& history_;
  std::shared_ptr<const PeerLoop> loop_;
  PeerNumber peer_;
  uint32_t life_;
};

class SimExperts final : public swarm::HeldExperts {
 public:
  // times is looked at for each call: a host may become slow.
  SimExperts(swarm::ExpertStore& store, ComputeLoop& compute, swarm::Executor& executor,
             const WorkTimes& times, const Teller& teller);

  StatusOr<swarm::HeldMix> mix(LayerId layer, moe::View<const float> x, const moe::Route& route,
                               moe::Keep keep, moe::View<float> y) override;
  StatusOr<swarm::HeldMix> mix_entries(LayerId layer, moe::View<const float> x, const moe::Route& route,
                                       moe::View<float> entries) override;
  Status mix_backward(const swarm::UpdateKey& key, moe::Ticket ticket, moe::View<const float> dy,
                      moe::View<float> dx, std::span<float> dweights, const swarm::OnRows& on_rows) override;
  std::optional<peers::Payload> answered(const swarm::UpdateKey& key) override {
    return store_.answered(key);
  }
  void release(moe::Ticket ticket) override { store_.release(ticket); }
  Status end_step(const swarm::UpdateKey& step, const std::optional<moe::StepSettings>& settings) override {
    return store_.end_step(step, settings);
  }
  int64_t step_what_is_due(int64_t now_ns) override { return store_.step_what_is_due(now_ns); }

  void adopt(swarm::ExpertName expert) override;
  void drop(swarm::ExpertName expert) override;
  void set_role(swarm::ExpertName expert, swarm::Role role, uint32_t epoch) override;
  bool freeze(swarm::ExpertName expert, bool frozen) override;
  StatusOr<std::vector<std::byte>> snapshot(swarm::ExpertName expert) override;
  StatusOr<swarm::Holding> restore(swarm::ExpertName expert, base::Bytes snapshot) override;
  Status copy(swarm::ExpertName from, base::Bytes snapshot, swarm::ExpertName to, float deviation) override;
  std::vector<swarm::Holding> holdings() override { return store_.holdings(); }
  swarm::UpdateCounters counters() const override { return store_.counters(); }

  // ---- for checkers: as it is now
  struct Held {
    swarm::Role role = swarm::Role::follower;
    uint32_t epoch = 0;
    bool frozen = false;  // it leads no more, or is about to: it hands over
  };
  const std::map<swarm::ExpertName, Held>& held() const { return held_; }
  uint64_t version(swarm::ExpertName expert) {
    return store_.experts().expert(expert.layer, expert.expert).version();
  }
  swarm::ExpertStore& store() { return store_; }

 private:
  void spend(int64_t rows);
  void tell_computed(LayerId layer, moe::View<const float> x, const moe::Route& route,
                     const swarm::HeldMix& mixed);
  void tell_role(RoleFact::Kind kind, swarm::ExpertName expert, uint64_t snapshot = 0);
  std::vector<uint64_t> gradient_marks(LayerId layer, std::span<const moe::Served> served);

  swarm::ExpertStore& store_;
  ComputeLoop& compute_;
  swarm::Executor& executor_;
  const WorkTimes& times_;
  const Teller teller_;
  std::map<swarm::ExpertName, Held> held_;
  moe::BatchRows<float> entries_{tensor::Purpose::scratch};
};

}  // namespace agora::sim
