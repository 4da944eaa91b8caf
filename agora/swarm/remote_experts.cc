#include "agora/swarm/remote_experts.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_format.h"
#include "agora/base/check.h"
#include "agora/base/mutex.h"
#include "agora/base/rng.h"
#include "agora/peers/health/budget.h"
#include "agora/peers/health/latency_quantile.h"
#include "agora/swarm/finder/finder.h"
#include "agora/swarm/remote_exchange.h"
#include "agora/swarm/step_end.h"
#include "agora/swarm/wire/control_message.h"
#include "agora/swarm/wire/method.h"

namespace agora::swarm {
namespace {

constexpr double kHedgeQuantile =
    0.95;  // a call slower than this is hedged: one in twenty, the budget's share
constexpr uint32_t kHedgeCallsMin = 20;     // fewer answers say nothing of the quantile
constexpr int64_t kHedgeNsMin = 1'000'000;  // below, a hedge costs more than it saves
constexpr int64_t kInteractiveAttemptNs = 500'000'000;
constexpr int64_t kTrainingAttemptNs = 2'500'000'000;
// Of a host whose own slow answers say that more is a waste. A false alarm costs an answer that another host
// must give again, or in training an update: it must be rare on a busy machine.
constexpr int64_t kInteractiveAttemptNsMin = 200'000'000;
constexpr int64_t kTrainingAttemptNsMin = 400'000'000;
constexpr int64_t kChoiceNs = 1'000'000;  // of a host that is slow and busy, but not gone
constexpr int64_t kReleaseNs = 5'000'000'000;

thread_local uint64_t this_threads_trace = 0;

Status refuse(std::string_view what, int64_t expected, int64_t got) {
  return absl::InvalidArgumentError(
      absl::StrFormat("remote experts: %s: expected %d, got %d", what, expected, got));
}

Status check_finite(std::string_view name, tensor::View<const float> rows) {
  const int64_t bad = first_row_not_finite(rows);
  if (bad == rows.rows) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("remote experts: row %d of %s holds a NaN or an infinity", bad, name));
}

// Of those that had arrived in the forward call.
uint64_t choices_lost(const std::vector<KeptPiece>& pieces, const std::vector<uint8_t>& arrived) {
  uint64_t lost = 0;
  for (const KeptPiece& piece : pieces) {
    for (size_t i = 0; i < piece.arrived.size(); ++i) {
      lost += piece.arrived[i] != 0 && arrived[piece.part.choice[i]] == 0 ? 1 : 0;
    }
  }
  return lost;
}

}  // namespace

struct RemoteExperts::State final : CallBudget {
  State(const Hosts& h, const SwarmSpec& s, const RemoteExpertsConfig& c)
      : hosts(h), spec(s), config(c), rng(c.seed) {}

  // A forward whose backward may come.
  struct Kept {
    LayerId layer;
    moe::Route route;
    std::vector<KeptPiece> pieces;
  };

  StatusOr<moe::MixResult> mix(LayerId layer, tensor::View<const float> x, const moe::Route& route,
                               moe::Keep keep, moe::Deadline deadline, tensor::View<float> y);
  Status mix_backward(moe::Ticket ticket, tensor::View<const float> dy, moe::Deadline deadline,
                      tensor::View<float> dx, std::span<float> dweights);
  bool synchronous() const { return spec.updates == UpdateMode::synchronous; }
  Status end_step(const std::optional<moe::StepSettings>& settings);  // none: it is given up
  Status check(LayerId layer, tensor::View<const float> x, const moe::Route& route,
               tensor::View<float> y) const;
  MixSettings settings(moe::Keep keep, moe::Deadline deadline);
  MixCall::Candidates candidates(LayerId layer) const;
  MixCall::Patience patience() const {
    return [this](const peers::PeerId& host) { return hosts.finder.patience_ns(host); };
  }
  moe::Ticket keep(LayerId layer, const moe::Route& route, std::vector<KeptPiece> pieces);
  StatusOr<std::shared_ptr<const Kept>> find(moe::Ticket ticket) const;
  std::shared_ptr<const Kept> take(moe::Ticket ticket);
  void release(const Kept& kept) const;
  void release_unused(const MixCall& call, const ForwardExchange& forward) const;
  void release_at(const peers::PeerId& host, const peers::Endpoint& at, moe::Ticket ticket) const;
  void report_calls(const RemoteCall::Counts& counts);
  void report_mix(const MixCall& call, const moe::Route& route);
  void observe(LayerId layer, const MixCall& call, const moe::Route& route,
               const ForwardExchange& forward) const;
  RemoteCallSettings call_settings(peers::Method method) const {
    return {
        .method = method, .priority = config.priority, .trace = this_threads_trace, .baton = config.baton};
  }

  bool may_retry() override {
    base::MutexLock lock(mutex);
    return retries.take();
  }
  bool may_hedge() override {
    base::MutexLock lock(mutex);
    return hedges.take();
  }

  const Hosts hosts;
  const SwarmSpec spec;
  const RemoteExpertsConfig config;
  std::atomic<RowDtype> rows{config.rows};

  mutable base::Mutex mutex;
  Rng rng ABSL_GUARDED_BY(mutex);
  peers::Budget retries ABSL_GUARDED_BY(mutex){peers::kRetryBudget};
  peers::Budget hedges ABSL_GUARDED_BY(mutex){peers::kHedgeBudget};
  peers::LatencyQuantile latency ABSL_GUARDED_BY(mutex);
  uint64_t last_ticket ABSL_GUARDED_BY(mutex) = 0;
  std::map<uint64_t, std::shared_ptr<const Kept>> kept ABSL_GUARDED_BY(mutex);  // at most config.tickets_max
  std::map<peers::PeerId, peers::Endpoint> touched ABSL_GUARDED_BY(mutex);      // got gradients in this step
  uint64_t last_end ABSL_GUARDED_BY(mutex) = 0;                                 // of a step
  MixReport report ABSL_GUARDED_BY(mutex);
};

RemoteExperts::RemoteExperts(base::Loop& loop, peers::Transport& transport, Finder& finder,
                             const SwarmSpec& spec, const RemoteExpertsConfig& config)
    : state_(std::make_unique<State>(Hosts{loop, transport, finder}, spec, config)) {}

RemoteExperts::~RemoteExperts() = default;

void RemoteExperts::set_trace(uint64_t trace) { this_threads_trace = trace; }

StatusOr<moe::MixResult> RemoteExperts::mix(LayerId layer, moe::View<const float> x, const moe::Route& route,
                                            moe::Keep keep, moe::Deadline deadline, moe::View<float> y) {
  return state_->mix(layer, x, route, keep, deadline, y);
}

Status RemoteExperts::mix_backward(moe::Ticket ticket, moe::View<const float> dy, moe::Deadline deadline,
                                   moe::View<float> dx, std::span<float> dweights) {
  return state_->mix_backward(ticket, dy, deadline, dx, dweights);
}

void RemoteExperts::release(moe::Ticket ticket) {
  if (const auto kept = state_->take(ticket)) state_->release(*kept);
}

Status RemoteExperts::end_step(const moe::StepSettings& settings) { return state_->end_step(settings); }

void RemoteExperts::drop_gradients() {
  if (!state_->synchronous()) return;
  state_->end_step(std::nullopt).IgnoreError();  // what can be refused is a step
}

// Every end has a number of its own: of two tries of one step hosts would take the second for done.
Status RemoteExperts::State::end_step(const std::optional<moe::StepSettings>& settings) {
  EndStep step{.key = {}, .settings = settings};
  step.key.run = config.run;
  std::map<peers::PeerId, peers::Endpoint> whom;
  {
    base::MutexLock lock(mutex);
    whom = std::exchange(touched, {});
    step.key.step = ++last_end;
  }
  return end_step_at(hosts, whom, step, synchronous() ? config.timeout_ns : 0, config.baton);
}

void RemoteExperts::set_rows(RowDtype rows) { state_->rows = rows; }

MixReport RemoteExperts::take_report() {
  base::MutexLock lock(state_->mutex);
  return std::exchange(state_->report, {});
}

Status RemoteExperts::State::check(LayerId layer, tensor::View<const float> x, const moe::Route& route,
                                   tensor::View<float> y) const {
  if (layer.value < 0 || layer.value >= spec.layers) return refuse("layers", spec.layers, layer.value);
  if (x.cols != spec.shape.d) return refuse("width of x", spec.shape.d, x.cols);
  if (y.cols != spec.shape.d) return refuse("width of y", spec.shape.d, y.cols);
  if (y.rows != x.rows) return refuse("rows of y", x.rows, y.rows);
  AGORA_RETURN_IF_ERROR(validate(route, x.rows, std::max(spec.experts, spec.experts_max)));
  return check_finite("x", x);
}

MixSettings RemoteExperts::State::settings(moe::Keep keep, moe::Deadline deadline) {
  const bool trains = keep == moe::Keep::for_backward;
  const int64_t now_ns = hosts.loop.now_ns();
  const bool interactive = config.priority == peers::Priority::interactive;
  const int64_t attempt_ns = config.attempt_ns > 0 ? config.attempt_ns
                             : interactive         ? kInteractiveAttemptNs
                                                   : kTrainingAttemptNs;
  MixSettings settings{.leader_first = trains || !interactive,
                       .version_age_max = static_cast<uint64_t>(spec.age_max),
                       .next_best = !trains,
                       .deadline_ns = std::min(deadline.ns, now_ns + config.timeout_ns),
                       .attempt_ns = attempt_ns,
                       .choice_ns = kChoiceNs,
                       .attempt_ns_min = interactive ? kInteractiveAttemptNsMin : kTrainingAttemptNsMin};
  base::MutexLock lock(mutex);
  // Gradients belong to the leader: a second host's ticket would be worth nothing.
  if (!trains && latency.count() >= kHedgeCallsMin) {
    settings.hedge_ns = std::max(kHedgeNsMin, latency.quantile_ns(kHedgeQuantile));
  }
  return settings;
}

MixCall::Candidates RemoteExperts::State::candidates(LayerId layer) const {
  return [this, layer](int32_t expert) { return hosts.finder.candidates({layer, ExpertId(expert)}); };
}

StatusOr<moe::MixResult> RemoteExperts::State::mix(LayerId layer, tensor::View<const float> x,
                                                   const moe::Route& route, moe::Keep keeping,
                                                   moe::Deadline deadline, tensor::View<float> y) {
  AGORA_RETURN_IF_ERROR(check(layer, x, route, y));
  Rng draws(0);
  {
    base::MutexLock lock(mutex);
    draws = rng.fork(rng.next_u64());
    retries.on_call();
    hedges.on_call();
  }
  const bool exact = config.exact && keeping == moe::Keep::nothing;
  ForwardExchange forward({.layer = layer, .keep = keeping, .entries = exact, .rows = rows, .answer = rows},
                          route, x);
  MixCall call(route, settings(keeping, deadline), candidates(layer), *this, draws, patience());
  RemoteCall remote(hosts, call_settings(kMix), forward);
  const Status refused = remote.run(call, call.start(hosts.loop.now_ns()));
  report_calls(remote.counts());
  report_mix(call, route);
  // Where nobody could use the message it is the message that is wrong; else what is missing is data.
  if (!refused.ok() && call.summands().empty()) return refused;

  forward.sum(call, y);
  if (config.observer != nullptr) observe(layer, call, route, forward);
  release_unused(call, forward);
  moe::MixResult result{.arrived = call.arrived(), .ticket = {}};
  if (keeping == moe::Keep::for_backward) result.ticket = keep(layer, route, forward.pieces(call));
  return result;
}

Status RemoteExperts::State::mix_backward(moe::Ticket ticket, tensor::View<const float> dy,
                                          moe::Deadline deadline, tensor::View<float> dx,
                                          std::span<float> dweights) {
  AGORA_ASSIGN_OR_RETURN(const std::shared_ptr<const Kept> forward, find(ticket));
  const int64_t tokens = forward->route.tokens();
  const int64_t d = spec.shape.d;
  if (dy.rows != tokens || dy.cols != d) return refuse("elements of dy", tokens * d, dy.rows * dy.cols);
  if (dx.rows != tokens || dx.cols != d) return refuse("elements of dx", tokens * d, dx.rows * dx.cols);
  const auto choices = static_cast<int64_t>(dweights.size());
  if (choices != forward->route.choices()) return refuse("dweights", forward->route.choices(), choices);
  AGORA_RETURN_IF_ERROR(check_finite("dy", dy));
  if (take(ticket) == nullptr) return absl::NotFoundError("the ticket was used by another thread just now");

  const BackwardHead head{.ticket = {},
                          .key = {.trainer = {},
                                  .run = config.run,
                                  .step = ticket.value,
                                  .micro_batch = 0,  // no two of them have one ticket
                                  .part = 0,
                                  .layer = forward->layer},
                          .rows = rows,
                          .answer = rows};
  BackwardExchange backward(head, {forward->route, forward->pieces}, dy);
  Rng draws(ticket.value);
  MixCall call(forward->route, settings(moe::Keep::for_backward, deadline), candidates(forward->layer), *this,
               draws, patience());
  RemoteCall remote(hosts, call_settings(kMixBackward), backward);
  const Status refused =
      remote.run(call, call.start(BackwardExchange::pinned(forward->pieces), hosts.loop.now_ns()));
  report_calls(remote.counts());
  {
    base::MutexLock lock(mutex);
    report.updates_refused += backward.updates_refused();
    report.gradients_lost += choices_lost(forward->pieces, call.arrived());
    for (const uint32_t send : call.summands()) touched.emplace(call.send(send).to, call.send(send).at);
  }
  if (!refused.ok() && call.summands().empty()) {  // as in mix()
    release(*forward);
    return refused;
  }
  backward.sum(call, dx, dweights);
  return absl::OkStatus();
}

moe::Ticket RemoteExperts::State::keep(LayerId layer, const moe::Route& route,
                                       std::vector<KeptPiece> pieces) {
  auto forward = std::make_shared<Kept>();
  forward->layer = layer;
  forward->route = route;
  forward->pieces = std::move(pieces);

  std::shared_ptr<const Kept> forgotten;
  moe::Ticket ticket;
  {
    base::MutexLock lock(mutex);
    if (static_cast<int64_t>(kept.size()) >= config.tickets_max) {
      forgotten = std::move(kept.begin()->second);
      kept.erase(kept.begin());
    }
    ticket = moe::Ticket{++last_ticket};
    kept.emplace(ticket.value, std::move(forward));
  }
  if (forgotten != nullptr) release(*forgotten);
  return ticket;
}

StatusOr<std::shared_ptr<const RemoteExperts::State::Kept>> RemoteExperts::State::find(
    moe::Ticket ticket) const {
  base::MutexLock lock(mutex);
  const auto found = kept.find(ticket.value);
  if (found != kept.end()) return found->second;
  return absl::NotFoundError(
      absl::StrFormat("ticket %d is unknown, used, or older than the %d that are kept; "
                      "call mix again",
                      ticket.value, config.tickets_max));
}

std::shared_ptr<const RemoteExperts::State::Kept> RemoteExperts::State::take(moe::Ticket ticket) {
  base::MutexLock lock(mutex);
  const auto found = kept.find(ticket.value);
  if (found == kept.end()) return nullptr;
  std::shared_ptr<const Kept> forward = std::move(found->second);
  kept.erase(found);
  return forward;
}

void RemoteExperts::State::release(const Kept& forward) const {
  for (const KeptPiece& piece : forward.pieces) release_at(piece.host, piece.at, piece.ticket);
}

void RemoteExperts::State::release_unused(const MixCall& call, const ForwardExchange& forward) const {
  for (const uint32_t send : forward.unused(call)) {
    release_at(call.send(send).to, call.send(send).at, forward.ticket(send));
  }
}

// Nobody waits for it: what a host does not hear of it forgets by itself.
void RemoteExperts::State::release_at(const peers::PeerId& host, const peers::Endpoint& at,
                                      moe::Ticket ticket) const {
  hosts.transport.call({.to = host,
                        .at = at,
                        .method = kRelease,
                        .priority = peers::Priority::background,
                        .deadline_ns = hosts.loop.now_ns() + kReleaseNs},
                       encode_release(std::span(&ticket, 1)), [](const peers::Reply&) {});
}

void RemoteExperts::State::report_calls(const RemoteCall::Counts& counts) {
  base::MutexLock lock(mutex);
  report.tickets_resent += counts.tickets_resent;
  report.bytes_sent += counts.bytes_sent;
  report.bytes_received += counts.bytes_received;
  for (const int64_t ns : counts.latency_ns) latency.add(ns);
}

void RemoteExperts::State::report_mix(const MixCall& call, const moe::Route& route) {
  const MixCall::Served served = call.served();
  double mass = 0, lost = 0;
  for (size_t i = 0; i < route.weight.size(); ++i) {
    mass += route.weight[i];
    if (call.arrived()[i] == 0) lost += route.weight[i];
  }
  base::MutexLock lock(mutex);
  ++report.calls;
  report.rows += static_cast<uint64_t>(route.tokens());
  report.by_replica += static_cast<uint64_t>(served.replica);
  report.by_hedge += static_cast<uint64_t>(served.hedge);
  report.by_next_expert += static_cast<uint64_t>(served.next_expert);
  report.lost += static_cast<uint64_t>(served.lost);
  report.gate_mass += mass;
  report.gate_mass_lost += lost;
}

void RemoteExperts::State::observe(LayerId layer, const MixCall& call, const moe::Route& route,
                                   const ForwardExchange& forward) const {
  std::vector<ServedChoice> served(static_cast<size_t>(route.choices()));
  for (size_t i = 0; i < served.size(); ++i) served[i].expert = ExpertId(route.expert[i]);
  for (const uint32_t number : call.summands()) {
    const MixSend& send = call.send(number);
    for (size_t i = 0; i < send.choices.size(); ++i) {
      if (!call.in_sum(number, i)) continue;
      const bool stands_in = send.way == Way::replica || send.way == Way::hedge;
      served[send.choices[i]] = {.by = send.way == Way::next_expert ? ServedBy::next_expert
                                       : stands_in                  ? ServedBy::hedge
                                                                    : ServedBy::replica,
                                 .expert = ExpertId(send.experts[i]),
                                 .host = send.to,
                                 .version = forward.version(number, send.experts[i])};
    }
  }
  config.observer->on_mix(layer, route, served);
}

}  // namespace agora::swarm
