// Leadership that is handed over: to a better-ranked host, or by one that leaves.
#include <algorithm>
#include <tuple>
#include <utility>

#include "agora/swarm/host/host_state.h"
#include "agora/swarm/wire/method.h"

namespace agora::swarm {
namespace {

constexpr int64_t kLeaveAgainNs = 100'000'000;
// Updates wait while the last snapshot is on its way: a host to which less than this comes is no better
// leader.
constexpr int64_t kHandOverBytesPerS = 1 << 20;
constexpr int64_t kLastChunkNsMax = 5'000'000'000;  // between two that are asked for
constexpr int64_t kHandOverPauseNsMax = 1'800'000'000'000;

}  // namespace

// ---- handing over

// Where a line is slow for what is led here, followers' pulls take all of it, always, and no last snapshot
// came through in time. So they wait for hand-overs, from the first that has to for as long as lies between
// two of one expert; then no hand-over begins for as long. While this host leaves they wait as long as last
// snapshots move. Who is no host saves the swarm: one expert at a time, and with little
// patience.
bool Host::State::hand_overs_first() {
  if (hand_overs.empty() && !leaving) return false;
  const int64_t now_ns = loop.now_ns();
  if (!leaving && now_ns - hand_overs_turn_ns >= 2 * between_pulls_ns()) hand_overs_turn_ns = now_ns;
  return now_ns - hand_overs_turn_ns < between_pulls_ns();
}

bool Host::State::followers_first() const {
  const int64_t since_ns = loop.now_ns() - hand_overs_turn_ns;
  return !leaving && since_ns >= between_pulls_ns() && since_ns < 2 * between_pulls_ns();
}

// Who should lead after us, or has the expert at its freshest: the leader, the freshest follower, else the
// best-ranked host that has room; of those that have not refused, and rather one that has not failed. Empty:
// nobody.
peers::PeerId Host::State::successor(ExpertName name) const {
  const peers::PeerId first = successor(name, /*failed_too=*/false);
  return first.empty() ? successor(name, /*failed_too=*/true) : first;
}

peers::PeerId Host::State::successor(ExpertName name, bool failed_too) const {
  const auto has_refused = [&](const peers::PeerId& peer) {
    return refused.contains({name, peer}) || (!failed_too && has_failed(name, peer));
  };
  const Holder* leader = holders.leader_of(name);
  if (leader != nullptr && !has_refused(leader->peer)) return leader->peer;
  const Holder* freshest = nullptr;
  for (const Holder& follower : holders.of(name)) {
    if (has_refused(follower.peer)) continue;
    if (freshest == nullptr ||
        std::tie(freshest->epoch, freshest->version) < std::tie(follower.epoch, follower.version)) {
      freshest = &follower;
    }
  }
  if (freshest != nullptr) return freshest->peer;
  peers::PeerId best;
  for (const auto& [peer, host] : holders.hosts()) {
    if (host.state.room <= 0 || has_refused(peer)) continue;
    if (best.empty() || holders.rank_of(peer, name) > holders.rank_of(best, name)) best = peer;
  }
  return best;
}

void Host::State::hand_over(ExpertName name, const peers::PeerId& to) {
  const auto found = own.find(name);
  const OtherHost* host = holders.host(to);
  if (found == own.end() || found->second.role != Role::leader || hand_overs.contains(name) ||
      hand_overs_running >= options.hand_overs_max || host == nullptr || has_failed(name, to) ||
      followers_first()) {
    return;
  }
  ++hand_overs_running;
  const peers::CallSettings settings{.to = to,
                                     .at = host->endpoint,
                                     .method = kHandOver,
                                     .priority = peers::Priority::background,
                                     .deadline_ns = hand_over_deadline_ns()};
  const peers::CallId call = transport.call(
      settings, encode_expert(name), back<peers::Reply>([name, to](State& self, const peers::Reply& reply) {
        self.handed_over(name, to, reply.status);
      }));
  hand_overs[name] = {.to = to, .call = call, .asked_ns = loop.now_ns()};
}

int64_t Host::State::hand_over_deadline_ns() const {
  const int64_t transfer_ns = snapshot_bytes_max(spec.shape) / kHandOverBytesPerS * 1'000'000'000;
  const int64_t deadline_ns = loop.now_ns() + options.hand_over_ns_max + transfer_ns;
  return leaving ? std::min(deadline_ns, leave_until_ns) : deadline_ns;
}

void Host::State::handed_over(ExpertName name, const peers::PeerId& to, const Status& status) {
  --hand_overs_running;
  const bool refuses = leaving && absl::IsResourceExhausted(status);
  const auto found = hand_overs.find(name);
  if (found != hand_overs.end() && found->second.to == to) {
    const HandOver ended = found->second;
    hand_overs.erase(found);
    if (status.ok()) {
      ++counts.handed_over;
      apply({leadership.release(name, to, loop.now_ns())});
      set_claim_timer();
    } else {
      if (refuses) refused.insert({name, to});
      hand_over_failed(name, ended, status);
    }
  }
  // After another failure the timer tries again: the other needs time to be ready.
  if (leaving && (status.ok() || refuses)) leave_next();
}

// Updates that have waited for nothing do not do so again and again.
void Host::State::hand_over_failed(ExpertName name, const HandOver& failed, const Status& status) {
  ++counts.hand_overs_failed;
  trouble(status);
  if (failed.frozen) {
    FailedHandOver& last = failed_hand_overs[name];
    last.to = failed.to;
    last.pause.lengthen(loop.now_ns(), options.tidy_ns, kHandOverPauseNsMax);
  }
  in_executor([this, name] { return held.freeze(name, false); }, [](State&, bool) {});
}

// A moment ago.
bool Host::State::has_failed(ExpertName name) const {
  const auto found = failed_hand_overs.find(name);
  return found != failed_hand_overs.end() && loop.now_ns() < found->second.pause.until_ns;
}

bool Host::State::has_failed(ExpertName name, const peers::PeerId& to) const {
  return has_failed(name) && failed_hand_overs.at(name).to == to;
}

// Null: there is none. The expert's last snapshot is for nobody else.
HandOver* Host::State::hand_over_to(const peers::PeerId& peer, ExpertName name) {
  const auto found = hand_overs.find(name);
  if (found == hand_overs.end()) return nullptr;
  HandOver& running = found->second;
  return running.to == peer && !running.withdrawn ? &running : nullptr;
}

// From who does not come for the last snapshot, or has stopped in the middle. Who has all of it may lead by
// now.
void Host::State::withdraw_hand_overs() {
  for (auto& [name, running] : hand_overs) {
    if (running.sent || running.withdrawn) continue;
    const int64_t patience_ns = running.frozen ? kLastChunkNsMax : options.hand_over_ns_max;
    if (loop.now_ns() - running.asked_ns < patience_ns) continue;
    running.withdrawn = true;
    transport.cancel(running.call);
  }
}

// Whoever asked leads again.
bool Host::State::is_over(const peers::IncomingCall& call) const {
  return call.abandoned() || loop.now_ns() >= call.deadline_ns();
}

// The receiving end. Only the leader itself may ask, and it has to mean it now: a request that comes again,
// late, is no reason to lead beside it. So the snapshot is one that it gives only to its successor.
void Host::State::take_over(const std::shared_ptr<peers::IncomingCall>& call) {
  const StatusOr<ExpertName> name = read_expert(call->payload().bytes());
  if (!name.ok()) return call->reply(name.status());
  const Holder* leader = in_spec(*name) ? holders.leader_of(*name) : nullptr;
  if (leader == nullptr || leader->peer != call->from()) {
    return call->reply(absl::PermissionDeniedError("only who leads an expert, by its record, hands it over"));
  }
  const auto mine = own.find(*name);
  if (mine != own.end() && mine->second.role == Role::leader) {
    return call->reply(absl::FailedPreconditionError("two lead this expert; one will step down"));
  }
  if (leaving || static_holdings() || retired.contains(*name) || (mine == own.end() && room() == 0)) {
    return call->reply(absl::ResourceExhaustedError("this host does not take the expert; ask another"));
  }
  own.try_emplace(*name, Own{.since_ns = loop.now_ns()});
  const auto lead = [this, name = *name, call](const Status& status) {
    const auto ours = own.find(name);
    if (status.ok() && !is_over(*call) && ours != own.end()) {
      // Hosts may disagree about who should lead: not to and fro.
      ours->second.since_ns = loop.now_ns();
      apply({leadership.take(name)}, [call](const Status& leads) { call->reply(leads); });
      return;
    }
    if (!status.ok()) adoption_failed(name, status);
    call->reply(status.ok() ? absl::DeadlineExceededError("the snapshot came too late") : status);
  };
  pull({.name = *name, .from = call->from(), .done = lead, .to_lead = call});
}

// ---- leaving

// A successor leads without dispute only when it is known to: who has gone before that seems to have died.
// What nobody leads may be at its freshest here, or only here: it is claimed, then handed over. What is
// retired nobody takes.
void Host::State::leave_next() {
  if (!left) return;
  const bool in_time = loop.now_ns() < leave_until_ns;
  const bool claims = in_time && leadership.next_ns() != INT64_MAX;
  bool led = false, may = false, unheard = false;
  for (const auto& [name, mine] : own) {
    if (in_time && leadership.awaited(name, loop.now_ns()) != nullptr) unheard = true;
    if (mine.role != Role::leader || !mine.ready || retired.contains(name)) continue;
    led = true;
    const peers::PeerId to = successor(name);
    if (to.empty() || !in_time) continue;
    may = true;
    hand_over(name, to);
  }
  const bool waits = claims || unheard || (led && (hand_overs_running > 0 || may));
  loop.cancel(leave_timer);
  if (waits) {
    leave_timer = after(kLeaveAgainNs, [](State& self) { self.leave_next(); });
    return;
  }
  finish_leaving();
}

// What nobody took is kept on disk, if there is one.
void Host::State::finish_leaving() {
  if (std::exchange(leave_saved, true) || options.folder.empty()) {
    if (!saving && to_save.empty()) std::exchange(left, nullptr)();
    return;
  }
  save();
}

}  // namespace agora::swarm
