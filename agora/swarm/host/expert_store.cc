#include "agora/swarm/host/expert_store.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "agora/base/check.h"
#include "agora/base/text.h"
#include "agora/optim/clip.h"

namespace agora::swarm {
namespace {

using base::concat;
using Kind = UpdateOutcome::Kind;

// Where a gradient follows. Rows come from a norm and weights from a gate: sqrt(D) times a gain, and a few.
// Far beyond, an expert's gradient would leave f32's numbers, and with it what all others gave since its last
// step.
constexpr double kRowNormMax = 1e6;
constexpr float kGateWeightMax = 1e4f;

// No row's norm is above that of all together: they are seldom looked at one by one.
Status check_sizes(const moe::Compute& compute, moe::View<const float> x, const moe::Route& route) {
  const bool all_small = optim::norm(compute, x.flat()) <= kRowNormMax;
  for (int64_t t = 0; t < x.rows && !all_small; ++t) {
    const double norm = optim::norm(compute, x.row_span(t));
    if (norm <= kRowNormMax) continue;
    return absl::InvalidArgumentError(concat("x: a row's norm must be at most ", kRowNormMax,
                                             " in training, that of row ", t, " is ", norm));
  }
  for (const float weight : route.weight) {
    if (std::abs(weight) <= kGateWeightMax) continue;
    return absl::InvalidArgumentError(
        concat("route: a weight must be at most ", kGateWeightMax, " in training, one is ", weight));
  }
  return absl::OkStatus();
}

// 1 / (1 + age), rounded up to a power of two.
int halvings_of_age(uint64_t age) { return std::bit_width(age + 1) - 1; }

}  // namespace

Rng first_weights(const SwarmSpec& spec) { return Rng(spec.seed).fork("weights"); }

StatusOr<std::unique_ptr<ExpertStore>> ExpertStore::create(const moe::Compute& compute, const SwarmSpec& spec,
                                                           const LedgerLimits& limits) {
  AGORA_RETURN_IF_ERROR(validate(spec));
  moe::Compute own = compute;
  own.precision = spec.bf16 ? kernels::Precision::bf16 : kernels::Precision::f32;
  AGORA_ASSIGN_OR_RETURN(std::unique_ptr<moe::LocalExperts> experts,
                         moe::LocalExperts::create(own, {.layers = spec.layers,
                                                         .experts = spec.experts_max,
                                                         .shape = spec.shape,
                                                         .tickets_max = kHeldTicketsMax,
                                                         .hold = moe::Hold::none}));
  return std::unique_ptr<ExpertStore>(new ExpertStore(own, spec, limits, std::move(experts)));
}

ExpertStore::ExpertStore(const moe::Compute& compute, const SwarmSpec& spec, const LedgerLimits& limits,
                         std::unique_ptr<moe::LocalExperts> experts)
    : compute_(compute), spec_(spec), experts_(std::move(experts)), ledger_(limits) {}

HeldMix ExpertStore::told(LayerId layer, const moe::Route& route, moe::MixResult mixed) {
  HeldMix answer{.arrived = std::move(mixed.arrived),
                 .version = std::vector<uint64_t>(static_cast<size_t>(route.choices()), 0),
                 .ticket = mixed.ticket};
  std::map<ExpertId, Held*> held;  // those that were asked: each is looked up once among all
  for (size_t i = 0; i < answer.arrived.size(); ++i) {
    if (answer.arrived[i] == 0) continue;
    const ExpertName name{layer, ExpertId{route.expert[i]}};
    Held*& its = held[name.expert];
    if (its == nullptr) its = &held_.at(name);
    answer.version[i] = expert(name).version();
    ++its->rows_served;
  }
  return answer;
}

StatusOr<HeldMix> ExpertStore::mix(LayerId layer, moe::View<const float> x, const moe::Route& route,
                                   moe::Keep keep, moe::View<float> y) {
  if (keep == moe::Keep::for_backward) {
    const Status sizes = check_sizes(compute_, x, route);
    if (!sizes.ok()) {
      ++counters_.refused;
      return sizes;
    }
  }
  AGORA_ASSIGN_OR_RETURN(moe::MixResult mixed, experts_->mix(layer, x, route, keep, moe::kNoDeadline, y));
  return told(layer, route, std::move(mixed));
}

StatusOr<HeldMix> ExpertStore::mix_entries(LayerId layer, moe::View<const float> x, const moe::Route& route,
                                           moe::View<float> entries) {
  AGORA_ASSIGN_OR_RETURN(moe::MixResult mixed, experts_->mix_entries(layer, x, route, entries));
  return told(layer, route, std::move(mixed));
}

// ---- updates

Status ExpertStore::mix_backward(const UpdateKey& key, moe::Ticket ticket, moe::View<const float> dy,
                                 moe::View<float> dx, std::span<float> dweights, const OnRows& on_rows) {
  if (ledger_.seen(key)) {
    AGORA_RETURN_IF_ERROR(experts_->mix_backward(
        ticket, dy, [](const moe::Served&) { return moe::kNoGradient; }, dx, dweights));
    count(Kind::repeated);
    on_rows({Kind::repeated});
    return absl::OkStatus();
  }
  AGORA_ASSIGN_OR_RETURN(const std::span<const moe::Served> served, experts_->served(ticket));
  AGORA_RETURN_IF_ERROR(check_update(key.layer, served, dy));

  UpdateOutcome outcome;
  std::vector<moe::Served> taken;
  const auto halvings = [&](const moe::Served& s) {
    const int n = halvings_of(key, s, &outcome.kind);
    if (n != moe::kNoGradient) taken.push_back(s);
    return n;
  };
  peers::Payload answer;
  const Status done =
      experts_->mix_backward(ticket, dy, halvings, dx, dweights, [&] { answer = on_rows(outcome); });
  if (!done.ok()) {
    ++counters_.refused;
    return done;
  }
  remember(key, taken);
  count_rows(key.layer, taken);
  count(outcome.kind);
  ledger_.add(key, std::move(answer));
  return absl::OkStatus();
}

std::optional<peers::Payload> ExpertStore::answered(const UpdateKey& key) {
  const peers::Payload* answer = ledger_.answer(key);
  if (answer == nullptr) return std::nullopt;
  count(Kind::repeated);
  return *answer;
}

// Shapes and finiteness are LocalExperts' to check; nothing is touched before it has.
Status ExpertStore::check_update(LayerId layer, std::span<const moe::Served> served,
                                 moe::View<const float> dy) {
  for (const moe::Served& s : served) {
    const auto held = held_.find({layer, s.expert});
    if (held == held_.end() || !held->second.frozen) continue;
    return absl::UnavailableError(concat("layer ", layer.value, " expert ", s.expert.value,
                                         " is being handed over to another host; ask again in a moment"));
  }
  const double norm = optim::norm(compute_, dy.flat());
  if (norm <= spec_.gradient_norm_limit) return absl::OkStatus();
  ++counters_.refused;
  return absl::InvalidArgumentError(
      concat("dy: its norm must be at most ", spec_.gradient_norm_limit, " in this swarm, it is ", norm));
}

// The worst outcome of any expert is the call's.
int ExpertStore::halvings_of(const UpdateKey& key, const moe::Served& served, Kind* outcome) {
  const auto held = held_.find({key.layer, served.expert});
  if (held == held_.end() || held->second.role != Role::leader) {
    *outcome = Kind::not_leading;
    return moe::kNoGradient;
  }
  if (held->second.applied.seen(key)) return moe::kNoGradient;  // by a leader before us
  // A follower's version may go back when it pulls from a new leader: then the age is unknown, and small.
  const uint64_t now = expert({key.layer, served.expert}).version();
  const uint64_t age = now - std::min(now, served.version);
  if (age > static_cast<uint64_t>(spec_.age_max)) {
    if (*outcome == Kind::applied) *outcome = Kind::too_old;
    return moe::kNoGradient;
  }
  return halvings_of_age(age);
}

// Of each expert by itself: one that is seldom chosen remembers as many as its busy neighbours.
void ExpertStore::remember(const UpdateKey& key, std::span<const moe::Served> taken) {
  for (const moe::Served& s : taken) {
    held_.at({key.layer, s.expert}).applied.add(key, kAppliedLimits);
  }
}

void ExpertStore::count_rows(LayerId layer, std::span<const moe::Served> taken) {
  if (spec_.updates == UpdateMode::synchronous) return;
  for (const moe::Served& s : taken) {
    const ExpertName name{layer, s.expert};
    Held& held = held_.at(name);
    if (held.rows_pending == 0) pending_.push_back(name);
    held.rows_pending += s.rows;
  }
}

void ExpertStore::count(Kind outcome) {
  switch (outcome) {
    case Kind::applied:
      ++counters_.applied;
      break;
    case Kind::repeated:
      ++counters_.repeated;
      break;
    case Kind::too_old:
      ++counters_.too_old;
      break;
    case Kind::not_leading:
      ++counters_.not_leading;
      break;
  }
}

Status ExpertStore::end_step(const UpdateKey& step, const std::optional<moe::StepSettings>& settings) {
  if (!ledger_.end_step(step)) return absl::OkStatus();
  if (spec_.updates == UpdateMode::asynchronous) {
    if (settings && settings->learning_rate >= 0) {
      learning_rate_ = std::min(settings->learning_rate, spec_.step.learning_rate);
    }
    return absl::OkStatus();
  }
  if (!settings) {
    experts_->drop_gradients();
    return absl::OkStatus();
  }
  for (const auto& [name, held] : held_)
    counters_.steps += experts_->touched(name.layer, name.expert) ? 1 : 0;
  return experts_->end_step(*settings);
}

int64_t ExpertStore::step_what_is_due(int64_t now_ns) {
  const auto wait_ns = static_cast<int64_t>(spec_.step_seconds_max * 1e9);
  int64_t next_ns = INT64_MAX;
  std::erase_if(pending_, [&](ExpertName name) {
    const auto found = held_.find(name);
    if (found == held_.end() || found->second.rows_pending == 0) return true;
    Held& held = found->second;
    if (held.first_pending_ns < 0) held.first_pending_ns = now_ns;
    const int64_t due_ns = held.first_pending_ns + wait_ns;
    if (held.rows_pending < spec_.rows_per_step && now_ns < due_ns) {
      next_ns = std::min(next_ns, due_ns);
      return false;
    }
    step(name, held);
    return true;
  });
  return next_ns;
}

void ExpertStore::step(ExpertName name, Held& held) {
  const double share = static_cast<double>(held.rows_pending) / static_cast<double>(spec_.rows_per_step);
  moe::StepSettings settings = spec_.step;
  settings.step = static_cast<int64_t>(expert(name).version()) + 1;
  if (learning_rate_ >= 0) held.learning_rate = learning_rate_;
  const float rate = held.learning_rate >= 0 ? held.learning_rate : spec_.step.learning_rate;
  settings.learning_rate = rate * static_cast<float>(std::min(1.0, share));
  const Status stepped = experts_->step(name.layer, name.expert, settings, static_cast<float>(1.0 / share));
  ++(stepped.ok() ? counters_.steps : counters_.gradients_dropped);
  held.rows_pending = 0;
  held.first_pending_ns = -1;
}

// ---- what is held

Status ExpertStore::check_name(ExpertName name) const {
  if (name.layer.value >= 0 && name.layer.value < spec_.layers && name.expert.value >= 0 &&
      name.expert.value < spec_.experts_max) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(concat("there is no layer ", name.layer.value, " expert ",
                                           name.expert.value, ": ", spec_.layers, " layers of at most ",
                                           spec_.experts_max, " experts"));
}

void ExpertStore::adopt(ExpertName name) {
  if (!held_.try_emplace(name).second) return;
  moe::Expert& held = experts_->hold(name.layer, name.expert);
  experts_->initialise(name.layer, name.expert, first_weights(spec_));
  held.repack(compute_);
}

void ExpertStore::drop(ExpertName name) {
  if (held_.erase(name) != 0) experts_->drop(name.layer, name.expert);
}

void ExpertStore::set_role(ExpertName name, Role role, uint32_t epoch) {
  Held& held = held_.at(name);
  if (role == Role::follower) {
    experts_->drop_gradients(name.layer, name.expert);
    held.rows_pending = 0;
    held.first_pending_ns = -1;
  }
  held.role = role;
  held.epoch = epoch;
  held.frozen = false;
}

bool ExpertStore::freeze(ExpertName name, bool frozen) {
  Held& held = held_.at(name);
  if (frozen && spec_.updates == UpdateMode::synchronous && experts_->touched(name.layer, name.expert)) {
    return false;
  }
  if (frozen && held.rows_pending > 0) step(name, held);
  held.frozen = frozen;
  return true;
}

StatusOr<std::vector<std::byte>> ExpertStore::snapshot(ExpertName name) {
  const auto held = held_.find(name);
  if (held == held_.end()) {
    return absl::NotFoundError(
        concat("layer ", name.layer.value, " expert ", name.expert.value, " is not held here"));
  }
  const Held& its = held->second;
  return write_snapshot({name, its.epoch, expert(name).version(), its.applied, its.learning_rate},
                        expert(name));
}

StatusOr<Holding> ExpertStore::restore(ExpertName name, base::Bytes bytes) {
  AGORA_RETURN_IF_ERROR(check_name(name));
  AGORA_ASSIGN_OR_RETURN(const Snapshot snapshot, Snapshot::open(bytes));
  const SnapshotHead& head = snapshot.head();
  if (head.name != name) {
    return absl::InvalidArgumentError(concat("snapshot: expected layer ", name.layer.value, " expert ",
                                             name.expert.value, ", it is of layer ", head.name.layer.value,
                                             " expert ", head.name.expert.value));
  }
  moe::Expert& expert = experts_->hold(name.layer, name.expert);
  const Status loaded = snapshot.load(expert);
  if (!loaded.ok()) {
    if (!held_.contains(name)) experts_->drop(name.layer, name.expert);
    return loaded;
  }
  expert.set_version(head.version);
  expert.repack(compute_);
  Held& held = held_[name];
  held.applied = head.applied;
  held.learning_rate = std::min(head.learning_rate, spec_.step.learning_rate);
  set_role(name, Role::follower, head.epoch);
  return Holding{name, Role::follower, head.epoch, head.version, 0};
}

Status ExpertStore::copy(ExpertName from, base::Bytes bytes, ExpertName to, float deviation) {
  AGORA_RETURN_IF_ERROR(check_name(to));
  AGORA_ASSIGN_OR_RETURN(const Snapshot snapshot, Snapshot::open(bytes));
  if (snapshot.head().name != from || held_.contains(to)) {
    return absl::InvalidArgumentError("copy: the snapshot is of another expert, or the copy is held already");
  }
  moe::Expert& expert = experts_->hold(to.layer, to.expert);
  const Status loaded = snapshot.load(expert);
  if (!loaded.ok()) {
    experts_->drop(to.layer, to.expert);
    return loaded;
  }
  for (const moe::ParameterView& p : experts_->parameters(to.layer, to.expert)) {
    const double size =
        optim::norm(compute_, p.value.flat()) / std::sqrt(static_cast<double>(p.value.size()));
    Rng noise = first_weights(spec_).fork(p.name);
    for (float& value : p.value.flat()) value += deviation * static_cast<float>(size) * noise.normal();
    std::ranges::fill(p.first.flat(), 0.0f);
    std::ranges::fill(p.second.flat(), 0.0f);
  }
  expert.repack(compute_);
  held_[to].learning_rate = std::min(snapshot.head().learning_rate, spec_.step.learning_rate);
  return absl::OkStatus();
}

std::vector<Holding> ExpertStore::holdings() {
  std::vector<Holding> list;
  list.reserve(held_.size());
  for (auto& [name, held] : held_) {
    list.push_back({name, held.role, held.epoch, expert(name).version(), std::exchange(held.rows_served, 0)});
  }
  return list;
}

}  // namespace agora::swarm
