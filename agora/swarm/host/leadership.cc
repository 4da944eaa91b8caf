#include "agora/swarm/host/leadership.h"

#include <algorithm>
#include <tuple>

namespace agora::swarm {

void Leadership::hold(ExpertName expert, uint32_t epoch, uint64_t version) {
  Own& own = own_[expert];
  own.version = version;
  if (own.role == Role::follower) own.epoch = epoch;
}

void Leadership::drop(ExpertName expert) {
  const auto found = own_.find(expert);
  if (found == own_.end()) return;
  set_claim(expert, found->second, 0);
  own_.erase(found);
}

LeadershipChange Leadership::take(ExpertName expert) {
  Own& own = own_.at(expert);
  own.epoch = next_epoch(expert, own);
  own.role = Role::leader;
  led_by(expert, own, {});
  return {expert, own.role, own.epoch};
}

LeadershipChange Leadership::release(ExpertName expert, const peers::PeerId& to, int64_t now_ns) {
  Own& own = own_.at(expert);
  own.role = Role::follower;
  own.successor = to;
  own.successor_had = had_by(to, expert);
  own.alone_ns = now_ns;
  own.not_before_ns = now_ns + config_.hand_over_ns;
  set_claim(expert, own, own.not_before_ns);
  return {expert, own.role, own.epoch};
}

void Leadership::rest(int64_t until_ns) {
  rest_until_ns_ = until_ns;
  for (auto& [expert, own] : own_) {
    if (own.claim_ns != 0) set_claim(expert, own, claim_time_ns(expert, own));
  }
}

std::vector<LeadershipChange> Leadership::on_change(ExpertName expert, int64_t now_ns) {
  std::vector<LeadershipChange> changes;
  const auto found = own_.find(expert);
  if (found != own_.end()) decide(expert, found->second, now_ns, changes);
  return changes;
}

std::vector<LeadershipChange> Leadership::on_timer(int64_t now_ns) {
  std::vector<LeadershipChange> changes;
  while (next_ns() <= now_ns) {
    const ExpertName expert = claims_.begin()->second;
    Own& own = own_.at(expert);
    set_claim(expert, own, 0);
    if (leader_of(expert, own) == nullptr) changes.push_back(take(expert));
  }
  return changes;
}

void Leadership::decide(ExpertName expert, Own& own, int64_t now_ns, std::vector<LeadershipChange>& changes) {
  const Holder* leader = leader_of(expert, own);
  if (own.role == Role::leader) {
    if (leader == nullptr) return;
    const bool theirs = leader->epoch > own.epoch ||
                        (leader->epoch == own.epoch &&
                         holders_.rank_of(leader->peer, expert) > holders_.rank_of(self_, expert));
    if (!theirs) return;
    own.role = Role::follower;  // its weights stay of the old epoch until it has pulled
    led_by(expert, own, leader->peer);
    changes.push_back({expert, own.role, own.epoch});
    return;
  }
  if (leader != nullptr) return led_by(expert, own, leader->peer);
  if (own.not_before_ns != 0 && holders_.host(own.successor) == nullptr) {
    own.not_before_ns = 0;  // it died before it was heard to lead
    own.alone_ns = now_ns;
  } else if (own.not_before_ns != 0 && had_by(own.successor, expert) < own.successor_had) {
    // It died and is back from its disk; or a record says the least of several versions, and it leads.
    own.not_before_ns = std::min(own.not_before_ns, now_ns + config_.claim_step_ns);
  }
  // For good: its successor may be slower to be heard than it is to leave.
  if (holders_.holds(own.followed, expert)) own.succeeded = true;
  if (own.alone_ns == 0) own.alone_ns = now_ns;
  const int64_t soonest_ns = own.claim_ns == 0 ? now_ns : std::min(own.claim_ns, now_ns);
  set_claim(expert, own, std::max(soonest_ns, claim_time_ns(expert, own)));
}

// From when it has known, and the others could be known: records that change nothing put no claim off.
int64_t Leadership::claim_time_ns(ExpertName expert, const Own& own) const {
  const int64_t ahead = std::max<int64_t>(fresher(expert, own), own.succeeded ? 1 : 0);
  const int64_t known_ns = std::max({own.alone_ns, config_.claims_from_ns, rest_until_ns_});
  return std::max(known_ns + config_.claim_ns + ahead * config_.claim_step_ns, own.not_before_ns);
}

// Nobody needs to claim it. Empty: this host leads.
void Leadership::led_by(ExpertName expert, Own& own, const peers::PeerId& leader) {
  own.alone_ns = 0;
  own.not_before_ns = 0;
  own.followed = leader;
  own.succeeded = false;
  set_claim(expert, own, 0);
}

// A leader of an epoch before our weights' has been followed by another: its record is an old one.
const Holder* Leadership::leader_of(ExpertName expert, const Own& own) const {
  const Holder* leader = holders_.leader_of(expert);
  return leader == nullptr || leader->epoch < own.epoch ? nullptr : leader;
}

void Leadership::set_claim(ExpertName expert, Own& own, int64_t when_ns) {
  if (own.claim_ns != 0) claims_.erase({own.claim_ns, expert});
  own.claim_ns = when_ns;
  if (when_ns != 0) claims_.insert({when_ns, expert});
}

int64_t Leadership::fresher(ExpertName expert, const Own& own) const {
  const std::span<const Holder> holders = holders_.of(expert);
  const auto freshness = [](const auto& replica, uint64_t rank) {
    return std::tuple(replica.epoch, replica.version, rank);
  };
  const auto ours = freshness(own, holders_.rank_of(self_, expert));
  return std::count_if(holders.begin(), holders.end(), [&](const Holder& other) {
    return freshness(other, holders_.rank_of(other.peer, expert)) > ours;
  });
}

// Epoch and version of its replica; 0: it has none.
std::pair<uint32_t, uint64_t> Leadership::had_by(const peers::PeerId& peer, ExpertName expert) const {
  for (const Holder& holder : holders_.of(expert)) {
    if (holder.peer == peer) return {holder.epoch, holder.version};
  }
  return {};
}

uint32_t Leadership::next_epoch(ExpertName expert, const Own& own) const {
  const uint32_t seen = std::max(own.epoch, holders_.epoch_seen(expert));
  return seen == UINT32_MAX ? seen : seen + 1;  // a record may say anything: after the last comes no first
}

bool Leadership::leads(ExpertName expert) const {
  const auto found = own_.find(expert);
  return found != own_.end() && found->second.role == Role::leader;
}

const peers::PeerId* Leadership::awaited(ExpertName expert, int64_t now_ns) const {
  const auto found = own_.find(expert);
  if (found == own_.end()) return nullptr;
  const Own& own = found->second;
  return own.role == Role::follower && now_ns < own.not_before_ns ? &own.successor : nullptr;
}

uint32_t Leadership::epoch(ExpertName expert) const {
  const auto found = own_.find(expert);
  return found == own_.end() ? 0 : found->second.epoch;
}

}  // namespace agora::swarm
