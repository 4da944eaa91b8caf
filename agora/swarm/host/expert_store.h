// Real experts with their weights: what a host computes with.
//
//   AGORA_ASSIGN_OR_RETURN(auto store, ExpertStore::create(compute, spec));
//   store->adopt({LayerId{0}, ExpertId{3}});   store->set_role({LayerId{0}, ExpertId{3}}, Role::leader, 1);
//   store->mix(...);   store->mix_backward(key, ...);   store->step_what_is_due(now);
//
// It wraps moe::LocalExperts, whose arithmetic it does not change: four hosts in synchronous mode are bit for
// bit LocalExperts with parts = 4. What it adds is whose gradients count, and how much.
//
// Asynchronous steps. An expert adds up the gradients of the calls that come, each times 2^-k for its age a,
// the steps that the expert took between the call's forward and backward: k = floor(log2(1 + a)), so that the
// weight is 1 / (1 + a) rounded up to a power of two (Zhang et al. 2016 divide by a; powers of two are exact
// in the kernels). Beyond spec.age_max nothing is taken. When r rows have come, r >= spec.rows_per_step or
// spec.step_seconds_max after the first of them, it steps with
//
//   gradient = (rows_per_step / r) * sum of the calls' gradients
//   learning rate = rate * min(1, r / rows_per_step)
//
// so that moments and clipping see gradients of one scale whatever r was, and few rows move the expert a
// little. rate is the trainers' last, at most spec.step.learning_rate; before this host has heard one, that
// of the expert's last step, wherever it was: late in a run the spec's would undo what was learnt. Bias
// correction counts the expert's own steps.
//
// Synchronous steps are LocalExperts::end_step: bias correction counts the run's steps.
//
// One thread at a time; the work inside runs on compute.pool.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <vector>

#include "agora/moe/local_experts.h"
#include "agora/swarm/host/held_experts.h"
#include "agora/swarm/host/ledger.h"
#include "agora/swarm/host/snapshot.h"
#include "agora/swarm/spec.h"

namespace agora::swarm {

constexpr int64_t kHeldTicketsMax = 4096;  // of all callers; HostService forgets earlier, by bytes and age

class ExpertStore final : public HeldExperts {
 public:
  // Holds nothing yet. InvalidArgument: the spec.
  static StatusOr<std::unique_ptr<ExpertStore>> create(const moe::Compute& compute, const SwarmSpec& spec,
                                                       const LedgerLimits& limits = {});

  StatusOr<HeldMix> mix(LayerId layer, moe::View<const float> x, const moe::Route& route, moe::Keep keep,
                        moe::View<float> y) override;
  StatusOr<HeldMix> mix_entries(LayerId layer, moe::View<const float> x, const moe::Route& route,
                                moe::View<float> entries) override;
  Status mix_backward(const UpdateKey& key, moe::Ticket ticket, moe::View<const float> dy,
                      moe::View<float> dx, std::span<float> dweights, const OnRows& on_rows) override;
  std::optional<peers::Payload> answered(const UpdateKey& key) override;
  void release(moe::Ticket ticket) override { experts_->release(ticket); }
  Status end_step(const UpdateKey& step, const std::optional<moe::StepSettings>& settings) override;
  int64_t step_what_is_due(int64_t now_ns) override;

  void adopt(ExpertName expert) override;
  void drop(ExpertName expert) override;
  void set_role(ExpertName expert, Role role, uint32_t epoch) override;
  bool freeze(ExpertName expert, bool frozen) override;
  StatusOr<std::vector<std::byte>> snapshot(ExpertName expert) override;
  StatusOr<Holding> restore(ExpertName expert, base::Bytes snapshot) override;
  Status copy(ExpertName from, base::Bytes snapshot, ExpertName to, float deviation) override;
  std::vector<Holding> holdings() override;
  UpdateCounters counters() const override { return counters_; }

  moe::LocalExperts& experts() { return *experts_; }

 private:
  // What a held expert needs beyond its weights.
  struct Held {
    Role role = Role::follower;
    bool frozen = false;
    uint32_t epoch = 0;
    float learning_rate = -1;       // of its last asynchronous step, wherever it was; below 0: none
    int32_t rows_pending = 0;       // whose gradients wait for a step
    int64_t rows_served = 0;        // since the last holdings()
    int64_t first_pending_ns = -1;  // when a step was first asked for with them; -1: not yet
    AppliedUpdates applied;         // in its weights; earlier leaders' too
  };

  ExpertStore(const moe::Compute& compute, const SwarmSpec& spec, const LedgerLimits& limits,
              std::unique_ptr<moe::LocalExperts> experts);
  HeldMix told(LayerId layer, const moe::Route& route, moe::MixResult mixed);
  Status check_update(LayerId layer, std::span<const moe::Served> served, moe::View<const float> dy);
  int halvings_of(const UpdateKey& key, const moe::Served& served, UpdateOutcome::Kind* outcome);
  void remember(const UpdateKey& key, std::span<const moe::Served> taken);
  void count_rows(LayerId layer, std::span<const moe::Served> taken);
  void count(UpdateOutcome::Kind outcome);
  void step(ExpertName name, Held& held);
  moe::Expert& expert(ExpertName name) { return experts_->expert(name.layer, name.expert); }
  Status check_name(ExpertName name) const;

  moe::Compute compute_;
  SwarmSpec spec_;
  std::unique_ptr<moe::LocalExperts> experts_;
  std::map<ExpertName, Held> held_;
  std::vector<ExpertName> pending_;  // have rows_pending
  float learning_rate_ = -1;         // of asynchronous steps; below 0: no trainer has said it
  Ledger ledger_;
  UpdateCounters counters_;
};

// The stream that every first weight of a swarm is forked from, by the parameter's name: `agora train` starts
// its model from the same.
Rng first_weights(const SwarmSpec& spec);

}  // namespace agora::swarm
