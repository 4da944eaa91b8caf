#include "agora/swarm/host/host.h"

#include <algorithm>
#include <utility>

#include "agora/base/text.h"
#include "agora/swarm/host/host_state.h"
#include "agora/swarm/wire/method.h"

namespace agora::swarm {
namespace {

constexpr double kLoadMemory = 0.8;  // of the running mean of rows a second, for each round
constexpr double kJitter = 0.2;      // of a period, so that hosts do not move in step
// Hosts that are gone for so long are no part of the swarm any more.
constexpr int64_t kHostsForgottenNs = 600'000'000'000;
// A timer that is so late says that the whole process was not there: a busy machine is late by less.
constexpr int64_t kStoodStillNs = 2'000'000'000;

LeadershipConfig leadership_config(const HostOptions& options, int64_t now_ns) {
  LeadershipConfig config = options.leadership;
  config.claims_from_ns = now_ns + options.settle_ns;
  return config;
}

}  // namespace

Host::State::State(base::Loop& l, Executor& e, base::Loop& d, peers::Transport& t, peers::Directory& dir,
                   HeldExperts& h, const SwarmSpec& s, const HostOptions& o)
    : loop(l),
      executor(e),
      disk(d),
      transport(t),
      directory(dir),
      held(h),
      spec(s),
      options(o),
      folder(o.folder, o.files),
      rng(Rng(o.seed).fork("host")),
      holders(s.layers, s.experts_max),
      leadership(t.self(), holders, leadership_config(o, l.now_ns())),
      placement(t.self(), holders,
                {.layers = s.layers,
                 .experts = s.experts,
                 .experts_max = s.experts_max,
                 .replicas = s.replicas,
                 .settle_ns = o.settle_ns,
                 .patience_ns = o.patience_ns,
                 .tidy_ns = o.tidy_ns},
                rng.fork("placement"), l.now_ns()),
      holdings_ns(l.now_ns()) {}

Host::Host(base::Loop& loop, Executor& executor, base::Loop& disk, peers::Transport& transport,
           peers::Directory& directory, HeldExperts& held, const SwarmSpec& spec, const HostOptions& options)
    : state_(std::make_shared<State>(loop, executor, disk, transport, directory, held, spec, options)) {
  state_->start();
}

Host::~Host() = default;

void Host::describe(PeerState& state) const { state_->describe(state); }

HostStatus Host::status() const {
  base::MutexLock lock(state_->mutex);
  return state_->status;
}

bool Host::holds_all_it_should() const {
  return std::all_of(state_->options.hold.begin(), state_->options.hold.end(), [&](ExpertName name) {
    const auto found = state_->own.find(name);
    return found != state_->own.end() && found->second.ready && found->second.role == Role::leader;
  });
}

void Host::leave(std::function<void()> done) {
  State& s = *state_;
  s.leaving = true;
  s.leave_until_ns = s.loop.now_ns() + s.options.leave_ns_max;
  s.left = std::move(done);
  s.failed_hand_overs.clear();
  s.hand_overs_turn_ns = s.loop.now_ns();
  std::erase_if(s.copies, [&s](const auto& copy) {
    return s.follows(copy.peer) && !s.hand_over_to(copy.peer, copy.name);
  });
  s.leave_next();
}

void Host::State::start() {
  const auto serve = [this](peers::Method method,
                            void (State::*handler)(const std::shared_ptr<peers::IncomingCall>&)) {
    transport.serve(method,
                    [weak = weak_from_this(), handler, &l = loop](std::shared_ptr<peers::IncomingCall> call) {
                      l.post([weak, handler, call = std::move(call)] {
                        const std::shared_ptr<State> self = weak.lock();
                        if (self != nullptr && !call->abandoned()) (self.get()->*handler)(call);
                      });
                    });
  };
  serve(kGetSnapshot, &State::serve_snapshots);
  serve(kHandOver, &State::take_over);
  serve(kAddExpert, &State::add_experts);
  serve(kRetireExpert, &State::retire_expert);
  directory.subscribe([weak = weak_from_this()](const peers::DirectoryEvent& event) {
    if (const std::shared_ptr<State> self = weak.lock()) self->on_event(event);
  });
  for (const ExpertName name : options.added) {
    if (in_spec(name)) holders.expect(name);
  }
  for (const ExpertName name : options.retired) retire(name);
  begin();
  every(options.round_ns, &State::round);
  every(std::min(options.probe_ns, static_cast<int64_t>(spec.loss_window_s * 0.5e9)), &State::probe);
  if (!options.folder.empty()) every(options.save_ns, &State::save);
}

void Host::State::every(int64_t period_ns, void (State::*work)()) {
  const double jitter = 1 + kJitter * (2 * rng.uniform_double() - 1);
  const int64_t due_ns = loop.now_ns() + static_cast<int64_t>(jitter * static_cast<double>(period_ns));
  at(due_ns, [due_ns, period_ns, work](State& self) {
    self.stood_still(due_ns);
    (self.*work)();
    self.every(period_ns, work);
  });
}

// Whoever led elsewhere meanwhile is not heard yet: what is known is old.
bool Host::State::stood_still(int64_t due_ns) {
  if (loop.now_ns() - due_ns < kStoodStillNs) return false;
  ++counts.stood_still;
  leadership.rest(loop.now_ns() + kRestNs);
  return true;
}

// ---- records

void Host::State::on_event(const peers::DirectoryEvent& event) {
  const peers::Record& record = *event.record;
  if (record.peer == transport.self()) return;
  if (event.kind == peers::DirectoryEvent::Kind::gone) return lose(record.peer);
  StatusOr<PeerState> state = decode_peer_state(record.body);
  if (!state.ok()) return trouble(state.status());
  for (const RetiredRange& range : state->retired) {
    for (int64_t e = range.first; e < range.first + int64_t{range.count} && e < spec.experts_max; ++e) {
      retire({range.layer, ExpertId{e}});
    }
  }
  on_changed(holders.set(record.peer, record.endpoint, *std::move(state)));
}

void Host::State::on_changed(const std::vector<ExpertName>& experts) {
  for (const ExpertName name : experts) {
    if (!holders.of(name).empty()) orphan_since.erase(name);
    const std::vector<LeadershipChange> changes = leadership.on_change(name, loop.now_ns());
    counts.stepped_down += changes.size();
    apply(changes);
  }
  set_claim_timer();
}

void Host::State::set_claim_timer() {
  loop.cancel(claim_timer);
  claim_timer = {};
  if (leave_saved || leadership.next_ns() == INT64_MAX) return;
  claim_timer = at(leadership.next_ns(), [due_ns = leadership.next_ns()](State& self) {
    if (self.leave_saved) return;  // who is as good as gone claims nothing any more
    if (!self.stood_still(due_ns)) self.apply(self.leadership.on_timer(self.loop.now_ns()));
    self.set_claim_timer();
  });
}

// What leads from the executor's next task on; done runs when it does.
void Host::State::apply(const std::vector<LeadershipChange>& changes, const Done& done) {
  for (const LeadershipChange& change : changes) {
    Own& mine = own.at(change.expert);
    if (change.role == Role::leader) ++counts.led_new;
    mine.role = change.role;
    mine.epoch = change.epoch;
    hand_overs.erase(change.expert);
    failed_hand_overs.erase(change.expert);
    in_executor(
        [this, change] {
          held.set_role(change.expert, change.role, change.epoch);
          return absl::OkStatus();
        },
        [done](State&, const Status& status) {
          if (done) done(status);
        });
  }
}

// ---- rounds

void Host::State::count_hosts() {
  const size_t hosts = holders.hosts().size() + 1;
  if (hosts < hosts_most && loop.now_ns() - hosts_most_ns < kHostsForgottenNs) return;
  hosts_most = hosts;
  hosts_most_ns = loop.now_ns();
}

// Fewer than half of the hosts are in sight: they did not all die, the network has split, or this host has
// only just woken up.
bool Host::State::cut_off() const { return 2 * (holders.hosts().size() + 1) < hosts_most; }

void Host::State::round() {
  count_hosts();
  forget_copies();
  withdraw_hand_overs();
  in_executor([this] { return std::pair(held.holdings(), held.counters()); },
              [](State& self, std::pair<std::vector<Holding>, UpdateCounters> taken) {
                self.take_holdings(taken.first, taken.second);
                if (!self.leaving && !self.static_holdings()) self.place();
                self.publish_status();
              });
}

void Host::State::take_holdings(const std::vector<Holding>& holdings, const UpdateCounters& counters) {
  const int64_t now_ns = loop.now_ns();
  const double seconds =
      std::max(1e-3, static_cast<double>(now_ns - std::exchange(holdings_ns, now_ns)) / 1e9);
  counts.updates = counters;
  for (const Holding& holding : holdings) {
    const auto found = own.find(holding.name);
    if (found == own.end() || !found->second.ready) continue;
    Own& mine = found->second;
    mine.version = holding.version;
    mine.rows_per_s =
        kLoadMemory * mine.rows_per_s + (1 - kLoadMemory) * static_cast<double>(holding.rows) / seconds;
    leadership.hold(holding.name, mine.epoch, mine.version);
  }
}

void Host::State::place() {
  std::vector<OwnReplica> replicas;
  for (const auto& [name, mine] : own) {
    const bool stays = hand_overs.contains(name) || has_failed(name);
    replicas.push_back(
        {name, mine.role == Role::leader, mine.ready && !stays, mine.since_ns, mine.rows_per_s});
  }
  const PlacementRound decided = placement.decide(replicas, room(), loop.now_ns(), directory.reserve_end(),
                                                  [this](ExpertName name) { return may_adopt(name); });
  for (const ExpertName name : decided.drop) {
    if (!retired.contains(name)) drop(name);  // those go in their time
  }
  for (const ExpertName name : decided.adopt) adopt(name);
  for (const auto& [name, to] : decided.hand_over) hand_over(name, to);
}

int32_t Host::State::room() const {
  if (leaving || static_holdings()) return 0;
  return std::max(0, options.experts_max - static_cast<int32_t>(own.size()));
}

bool Host::State::in_spec(ExpertName name) const {
  return name.layer.value < spec.layers && name.expert.value < spec.experts_max;
}

// ---- what it says

void Host::State::describe(PeerState& state) const {
  state.host = true;
  state.room = room();
  state.step = counts.updates.applied;
  for (const auto& [name, mine] : own) {
    if (!mine.ready) continue;
    const bool leads = mine.role == Role::leader;
    HeldRange* last = state.held.empty() ? nullptr : &state.held.back();
    const uint8_t load = load_of(mine.rows_per_s);
    if (last != nullptr && last->layer == name.layer && last->first + last->count == name.expert.value &&
        last->leads == leads && last->epoch == mine.epoch && last->version == mine.version) {
      ++last->count;
      last->loads.push_back(load);
    } else {
      state.held.push_back({name.layer, name.expert.value, 1, leads, mine.epoch, mine.version, {load}});
    }
  }
  state.retired = ranges_of(retired);
  // Two hosts that filled the last places at the same time.
  state.retired.resize(std::min(state.retired.size(), kRetiredRangesMax));
  for (const Added& copy : added) {
    if (loop.now_ns() - copy.since_ns > options.newcomer_ns || retired.contains(copy.name)) continue;
    state.newcomers.push_back({copy.name.layer, copy.name.expert, copy.source});
  }
}

void Host::State::trouble(const Status& status) {
  if (!status.ok()) counts.trouble = std::string(status.message());
}

void Host::State::publish_status() {
  counts.held = static_cast<int64_t>(own.size());
  counts.copies = static_cast<int64_t>(copies.size());
  counts.led = counts.not_ready = 0;
  for (const auto& [name, mine] : own) {
    counts.led += mine.role == Role::leader ? 1 : 0;
    counts.not_ready += mine.ready ? 0 : 1;
  }
  base::MutexLock lock(mutex);
  status = counts;
}

}  // namespace agora::swarm
