#include "agora/sim/sim_experts.h"

#include <bit>
#include <utility>

namespace agora::sim {

using swarm::ExpertName;
using swarm::HeldMix;
using swarm::Role;
using swarm::UpdateOutcome;

namespace {

constexpr int64_t kBackwardRows = 3;  // as HostService counts

uint64_t hash_of(base::Bytes bytes) {
  uint64_t hash = bytes.size();
  for (const std::byte byte : bytes) hash = mix_bits(hash ^ static_cast<uint64_t>(byte));
  return hash;
}

}  // namespace

SimExperts::SimExperts(swarm::ExpertStore& store, ComputeLoop& compute, swarm::Executor& executor,
                       const WorkTimes& times, const Teller& teller)
    : store_(store), compute_(compute), executor_(executor), times_(times), teller_(teller) {}

// A task that ends at once when the time is over: until then the executor has work, as in production, and
// nobody does a call beside it.
void SimExperts::spend(int64_t rows) {
  compute_.spend(times_.call_ns + rows * times_.row_ns);
  executor_.post([] {});
}

StatusOr<HeldMix> SimExperts::mix(LayerId layer, moe::View<const float> x, const moe::Route& route,
                                  moe::Keep keep, moe::View<float> y) {
  spend(route.choices());
  StatusOr<HeldMix> mixed = store_.mix(layer, x, route, keep, y);
  if (mixed.ok()) tell_computed(layer, x, route, *mixed);
  return mixed;
}

StatusOr<HeldMix> SimExperts::mix_entries(LayerId layer, moe::View<const float> x, const moe::Route& route,
                                          moe::View<float> entries) {
  spend(route.choices());
  StatusOr<HeldMix> mixed = store_.mix_entries(layer, x, route, entries);
  if (mixed.ok()) tell_computed(layer, x, route, *mixed);
  return mixed;
}

void SimExperts::tell_computed(LayerId layer, moe::View<const float> x, const moe::Route& route,
                               const HeldMix& mixed) {
  if (!teller_.wants_computed()) return;
  const moe::View<float> entries = entries_.shape(route.choices(), x.cols);
  if (!store_.experts().mix_entries(layer, x, route, entries).ok()) return;
  ComputedFact fact;
  fact.layer = layer;
  fact.route = &route;
  fact.x = x;
  fact.entries = entries;
  fact.arrived = mixed.arrived;
  // Not what it says of itself, which is to be judged.
  std::vector<uint64_t> versions(mixed.arrived.size(), 0);
  for (size_t i = 0; i < versions.size(); ++i) {
    if (mixed.arrived[i] != 0) versions[i] = version({layer, ExpertId{route.expert[i]}});
  }
  fact.version = versions;
  teller_.tell(&History::on_computed, fact);
}

// A number for each expert's gradient as it is now.
std::vector<uint64_t> SimExperts::gradient_marks(LayerId layer, std::span<const moe::Served> served) {
  std::vector<uint64_t> marks;
  for (const moe::Served& s : served) {
    uint64_t mark = 0;
    for (const moe::ParameterView& p : store_.experts().expert(layer, s.expert).parameters()) {
      for (const float value : p.gradient.flat()) mark = mix_bits(mark ^ std::bit_cast<uint32_t>(value));
    }
    marks.push_back(mark);
  }
  return marks;
}

Status SimExperts::mix_backward(const swarm::UpdateKey& key, moe::Ticket ticket, moe::View<const float> dy,
                                moe::View<float> dx, std::span<float> dweights,
                                const swarm::OnRows& on_rows) {
  spend(kBackwardRows * static_cast<int64_t>(dweights.size()));
  std::vector<moe::Served> served;
  if (const auto found = store_.experts().served(ticket); found.ok()) {
    served.assign(found->begin(), found->end());
  }
  std::erase_if(served, [&](const moe::Served& s) { return !held_.contains({key.layer, s.expert}); });
  const std::vector<uint64_t> before = gradient_marks(key.layer, served);
  UpdateOutcome outcome;
  AGORA_RETURN_IF_ERROR(store_.mix_backward(key, ticket, dy, dx, dweights, [&](UpdateOutcome is) {
    outcome = is;
    return on_rows(is);
  }));
  const std::vector<uint64_t> after = gradient_marks(key.layer, served);
  for (size_t i = 0; i < served.size(); ++i) {
    const ExpertName name{key.layer, served[i].expert};
    UpdateFact fact;
    fact.key = key;
    fact.expert = name;
    fact.outcome = outcome.kind;
    fact.taken = before[i] != after[i];
    fact.epoch = held_.at(name).epoch;
    fact.version = version(name);
    teller_.tell(&History::on_update, fact);
  }
  return absl::OkStatus();
}

StatusOr<std::vector<std::byte>> SimExperts::snapshot(ExpertName expert) {
  StatusOr<std::vector<std::byte>> bytes = store_.snapshot(expert);
  if (!bytes.ok()) return bytes;
  SnapshotFact fact;
  fact.expert = expert;
  fact.version = version(expert);
  fact.snapshot = hash_of(*bytes);
  teller_.tell(&History::on_snapshot, fact);
  return bytes;
}

void SimExperts::tell_role(RoleFact::Kind kind, ExpertName expert, uint64_t snapshot) {
  RoleFact fact;
  fact.snapshot = snapshot;
  fact.kind = kind;
  fact.expert = expert;
  if (const auto held = held_.find(expert); held != held_.end()) {
    fact.epoch = held->second.epoch;
    fact.version = version(expert);
  }
  teller_.tell(&History::on_role, fact);
}

void SimExperts::adopt(ExpertName expert) {
  store_.adopt(expert);
  if (held_.try_emplace(expert).second) tell_role(RoleFact::Kind::adopted, expert);
}

void SimExperts::drop(ExpertName expert) {
  store_.drop(expert);
  if (held_.erase(expert) != 0) tell_role(RoleFact::Kind::dropped, expert);
}

void SimExperts::set_role(ExpertName expert, Role role, uint32_t epoch) {
  store_.set_role(expert, role, epoch);
  held_[expert] = {.role = role, .epoch = epoch};
  tell_role(role == Role::leader ? RoleFact::Kind::led : RoleFact::Kind::followed, expert);
}

bool SimExperts::freeze(ExpertName expert, bool frozen) {
  if (!store_.freeze(expert, frozen)) return false;
  held_.at(expert).frozen = frozen;
  return true;
}

StatusOr<swarm::Holding> SimExperts::restore(ExpertName expert, base::Bytes snapshot) {
  StatusOr<swarm::Holding> holding = store_.restore(expert, snapshot);
  if (!holding.ok()) return holding;
  held_[expert] = {.role = Role::follower, .epoch = holding->epoch};
  tell_role(RoleFact::Kind::restored, expert, hash_of(snapshot));
  return holding;
}

Status SimExperts::copy(ExpertName from, base::Bytes snapshot, ExpertName to, float deviation) {
  AGORA_RETURN_IF_ERROR(store_.copy(from, snapshot, to, deviation));
  held_[to] = {};
  tell_role(RoleFact::Kind::adopted, to);
  return absl::OkStatus();
}

}  // namespace agora::sim
