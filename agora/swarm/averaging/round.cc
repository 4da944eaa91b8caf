#include "agora/swarm/averaging/round.h"

#include <algorithm>

#include "agora/swarm/wire/blob.h"

namespace agora::swarm {

RoundConfig for_trunk(RoundConfig config, size_t numbers) {
  const uint64_t bytes = numbers * sizeof(float);
  config.fetch_ns = std::max(config.fetch_ns, blob_ns_max(bytes));
  config.pull_ns = std::max(config.pull_ns, blob_ns_max(kTrunkHeadBytesMax + 2 * bytes));
  return config;
}

int64_t round_ns_max(const RoundConfig& config) {
  return 2 * config.gather_ns + config.pull_ns + config.fetch_ns;
}

Round::Round(const RoundConfig& config, const peers::PeerId& self, const TrunkVersion& base,
             const Contribution& own, const std::vector<peers::PeerId>& others, int64_t now_ns,
             std::set<peers::PeerId> unawaited)
    : config_(config),
      self_(self),
      base_(base),
      own_(own),
      begin_ns_(now_ns),
      now_ns_(now_ns),
      unawaited_(std::move(unawaited)) {
  fetches_[own.hash].here = true;
  for (const peers::PeerId& peer : others) {
    if (members_.size() + 1 < kContributorsMax && peer != self_) members_.try_emplace(peer);
  }
  for (auto& [peer, member] : members_) ask(peer, member);
  advance();
}

void Round::on_news(const peers::PeerId& from, const News& news, bool in_reach, int64_t now_ns) {
  now_ns_ = now_ns;
  hear(from, news, in_reach);
  advance();
}

void Round::on_answer(const peers::PeerId& from, uint64_t number, const News& news, bool in_reach,
                      int64_t now_ns) {
  now_ns_ = now_ns;
  if (const auto member = members_.find(from); member != members_.end() && member->second.number == number) {
    member->second.asked_ns = 0;
    member->second.next_ask_ns = now_ns + config_.poll_ns;
    member->second.answered = number;
  }
  hear(from, news, in_reach);
  advance();
}

void Round::on_fetched(const weights::Digest& hash, const peers::PeerId& from, bool ok, int64_t now_ns) {
  now_ns_ = now_ns;
  const auto found = fetches_.find(hash);
  if (found == fetches_.end()) return;
  Fetch& fetch = found->second;
  if (ok) fetch.here = true;
  if (ok || fetch.from == from) fetch.under_way = false;
  advance();
}

void Round::on_lost(const peers::PeerId& peer, int64_t now_ns) {
  now_ns_ = now_ns;
  leave_out(peer);
  advance();
}

void Round::on_time(int64_t now_ns) {
  now_ns_ = now_ns;
  advance();
}

void Round::hear(const peers::PeerId& from, const News& news, bool in_reach) {
  if (over_ || from == self_) return;
  if (news.version > base_) {
    if (news.last && news.last_base == base_) return hear_decision(*news.last);
    if (in_reach) return catch_up(from);
    if (const auto member = members_.find(from); member != members_.end()) {
      member->second.standing = Standing::ahead;
    }
    return;
  }
  const bool behind = news.version < base_;
  if (behind && !news.coming) return leave_out(from);
  if (!behind && news.decided) hear_decision(*news.decided);
  const bool ready = !behind && news.ready && news.ready->owner == from;
  const auto known = members_.find(from);
  if (known == members_.end() && (!ready || members_.size() + 1 >= kContributorsMax)) return;
  Member& member = members_[from];
  member.was_behind = member.was_behind || behind;
  if (!ready) {
    if (member.standing == Standing::ready) return;
    member.standing = news.resting ? Standing::resting : Standing::busy;
    return;
  }
  member.standing = Standing::ready;
  if (member.ready_ns != 0) return;
  member.ready_ns = now_ns_;
  member.contribution = *news.ready;
  fetches_.try_emplace(news.ready->hash);
}

void Round::hear_decision(const Decision& decision) {
  if (decision_ && version_after(base_, decision) <= version_after(base_, *decision_)) return;
  decision_ = decision;
  std::erase_if(fetches_, [&](const auto& fetch) {
    return !fetch.second.here &&
           std::ranges::find(decision.counted, fetch.first, &Contribution::hash) == decision.counted.end();
  });
  for (const Contribution& contribution : decision.counted) fetches_.try_emplace(contribution.hash);
}

void Round::ask(const peers::PeerId& peer, Member& member) {
  if (member.asked_ns == 0) member.asked_ns = now_ns_;
  member.number = ++last_number_;
  actions_.push_back({.kind = RoundAction::Kind::tell, .peer = peer, .number = member.number});
}

void Round::poll(const peers::PeerId& peer, Member& member) {
  if (member.asked_ns == 0 && now_ns_ >= member.next_ask_ns) ask(peer, member);
}

// A lower peer may have decided and told others before it fell silent.
void Round::leave_out(const peers::PeerId& peer) {
  const auto member = members_.find(peer);
  if (member == members_.end() || member->second.standing == Standing::out) return;
  member->second.standing = Standing::out;
  member->second.asked_ns = 0;
  for (auto& [hash, fetch] : fetches_) {
    if (fetch.from == peer) fetch.under_way = false;
  }
  if (peer > self_) return;
  lost_after_ = last_number_;
}

void Round::expire() {
  for (auto& [peer, member] : members_) {
    const bool silent = member.asked_ns != 0 && now_ns_ >= member.asked_ns + config_.answer_ns;
    const bool late = !decision_ && is_late(member);
    // Not who was only in its step: it saves, or evaluates, and is here the next time.
    const bool waited_long = member.was_behind || member.standing == Standing::ready;
    if (late && waited_long && !unawaited_.contains(peer)) late_.insert(peer);
    if (silent || late) leave_out(peer);
  }
  for (auto& [hash, fetch] : fetches_) {
    if (now_ns_ >= fetch.since_ns + config_.fetch_ns + config_.answer_ns) fetch.under_way = false;
  }
}

// Its contribution would keep the others too long.
bool Round::is_late(const Member& member) const {
  if (member.standing == Standing::busy) {
    return now_ns_ >= begin_ns_ + config_.gather_ns + (member.was_behind ? config_.pull_ns : 0);
  }
  return member.standing == Standing::ready && !is_here(member.contribution) &&
         now_ns_ >= member.ready_ns + config_.fetch_ns + config_.answer_ns;
}

// One that is not heard of may be dead, and have decided.
bool Round::is_awaited(const peers::PeerId& peer, const Member& member) const {
  if (member.standing == Standing::ahead || member.standing == Standing::resting) return false;
  return member.standing == Standing::unknown || !unawaited_.contains(peer);
}

// Where to fetch it from next; nobody: it can not be had.
std::optional<peers::PeerId> Round::source_of(const Contribution& contribution, const Fetch& fetch) const {
  if (fetch.tries >= config_.fetches_max) return std::nullopt;
  std::vector<peers::PeerId> sources{contribution.owner};
  if (decision_) {
    sources.push_back(decision_->decider);
    for (const Contribution& other : decision_->counted) sources.push_back(other.owner);
  }
  std::erase_if(sources, [&](const peers::PeerId& peer) {
    const auto member = members_.find(peer);
    return peer == self_ || member == members_.end() || member->second.standing == Standing::out;
  });
  if (sources.empty()) return std::nullopt;
  return sources[static_cast<size_t>(fetch.tries) % sources.size()];
}

// False: it can not be had.
bool Round::fetch(const Contribution& contribution) {
  Fetch& fetch = fetches_[contribution.hash];
  if (fetch.here || fetch.under_way) return true;
  const auto source = source_of(contribution, fetch);
  if (!source) return false;
  fetch.under_way = true;
  fetch.since_ns = now_ns_;
  fetch.from = *source;
  ++fetch.tries;
  actions_.push_back({.kind = RoundAction::Kind::fetch, .peer = *source, .hash = contribution.hash});
  return true;
}

bool Round::is_here(const Contribution& contribution) const {
  const auto fetch = fetches_.find(contribution.hash);
  return fetch != fetches_.end() && fetch->second.here;
}

void Round::advance() {
  if (over_) return;
  expire();
  if (!decision_) gather();
  if (!over_ && decision_) follow_decision();
  set_wake();
}

void Round::gather() {
  bool complete = true;
  for (auto& [peer, member] : members_) {
    if (member.standing == Standing::ready && !fetch(member.contribution)) leave_out(peer);
    if (member.standing == Standing::out) continue;
    if (member.standing == Standing::ready && is_here(member.contribution)) continue;
    poll(peer, member);
    complete = complete && !is_awaited(peer, member);
  }
  if (!complete || waits_alone()) return;
  const peers::PeerId first = decider();
  if (first == self_) {
    if (others_are_checked()) decide();
    return;
  }
  Member& member = members_[first];
  if (now_ns_ >= begin_ns_ + round_ns_max(config_)) {
    leave_out(first);  // it lives, but does not decide
    return gather();
  }
  poll(first, member);
}

bool Round::takes_part(const Member& member) const {
  return member.standing == Standing::ready && is_here(member.contribution);
}

peers::PeerId Round::decider() const {
  peers::PeerId first = self_;
  for (const auto& [peer, member] : members_) {
    if (takes_part(member)) first = std::min(first, peer);
  }
  return first;
}

bool Round::waits_alone() const {
  bool ahead = false;
  for (const auto& [peer, member] : members_) {
    if (takes_part(member)) return false;
    ahead = ahead || member.standing == Standing::ahead;
  }
  return ahead;
}

// Asks those who may know the decision of a decider that was lost.
bool Round::others_are_checked() {
  if (!lost_after_) return true;
  bool all = true;
  for (auto& [peer, member] : members_) {
    if (member.standing != Standing::ready || member.answered > *lost_after_) continue;
    all = false;
    // No question waits: one was lost with its peer, of which a late message came since.
    if (member.asked_ns == 0 || member.number <= *lost_after_) ask(peer, member);
  }
  return all;
}

void Round::decide() {
  Decision decision{.decider = self_, .counted = {own_}};
  for (const auto& [peer, member] : members_) {
    if (takes_part(member)) decision.counted.push_back(member.contribution);
  }
  std::ranges::sort(decision.counted, {}, &Contribution::owner);
  decision_ = std::move(decision);
}

void Round::follow_decision() {
  bool complete = true;
  for (const Contribution& contribution : decision_->counted) {
    if (!fetch(contribution)) return catch_up(decision_->decider);
    if (is_here(contribution)) continue;
    complete = false;
    const auto source = members_.find(fetches_[contribution.hash].from);
    if (source != members_.end()) poll(source->first, source->second);
  }
  if (!complete) return;
  over_ = true;
  actions_.push_back({.kind = RoundAction::Kind::finish, .decision = *decision_});
  for (auto& [peer, member] : members_) {
    if (member.standing != Standing::out) {
      actions_.push_back({.kind = RoundAction::Kind::tell, .peer = peer, .number = ++last_number_});
    }
  }
}

void Round::catch_up(const peers::PeerId& from) {
  over_ = true;
  actions_.push_back({.kind = RoundAction::Kind::catch_up, .peer = from});
}

void Round::set_wake() {
  wake_ns_ = INT64_MAX;
  if (over_) return;
  const auto wake = [&](int64_t when_ns) {
    if (when_ns > now_ns_) wake_ns_ = std::min(wake_ns_, when_ns);
  };
  for (const auto& [peer, member] : members_) {
    if (member.standing == Standing::out) continue;
    if (member.asked_ns != 0) wake(member.asked_ns + config_.answer_ns);
    wake(member.next_ask_ns);
    if (member.standing == Standing::ready) wake(member.ready_ns + config_.fetch_ns + config_.answer_ns);
  }
  for (const auto& [hash, fetch] : fetches_) {
    if (fetch.under_way) wake(fetch.since_ns + config_.fetch_ns + config_.answer_ns);
  }
  wake(begin_ns_ + config_.gather_ns);
  wake(begin_ns_ + config_.gather_ns + config_.pull_ns);
  wake(begin_ns_ + round_ns_max(config_));
}

}  // namespace agora::swarm
