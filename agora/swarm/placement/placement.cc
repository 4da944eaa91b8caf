#include "agora/swarm/placement/placement.h"

#include <algorithm>
#include <utility>

#include "agora/peers/directory/view.h"

namespace agora::swarm {
namespace {

enum Urgency : int { kOrphan, kTooFew, kHot, kOurs };

}  // namespace

struct Placement::Wish {
  int urgency;
  int64_t rank;  // ours among the hosts: who ranks best takes it first
  ExpertName expert;
  friend auto operator<=>(const Wish&, const Wish&) = default;
};

Placement::Placement(const peers::PeerId& self, const Holders& holders, const PlacementConfig& config,
                     Rng rng, int64_t now_ns)
    : self_(self),
      holders_(holders),
      config_(config),
      settled_ns_(now_ns + config.settle_ns +
                  static_cast<int64_t>(rng.uniform_double() * 0.5 * static_cast<double>(config.settle_ns))),
      homes_(config.layers, config.experts),
      mean_load_(static_cast<size_t>(config.layers), 0.0) {}

bool Placement::in_reserve(const peers::PeerId& peer) const {
  return peers::ring_place(peer) <= reserve_end_;
}

bool Placement::known_to_all(const std::vector<OwnReplica>& own, int64_t now_ns) {
  const bool in = large() && in_reserve(self_);
  in_reserve_ns_ = in ? std::min(in_reserve_ns_, now_ns) : INT64_MAX;
  return !large() || !own.empty() || (in && now_ns - in_reserve_ns_ >= config_.heard_ns);
}

void Placement::find_homes(const std::vector<OwnReplica>& own, int32_t room) {
  std::vector<Homes::Host> hosts;
  if (!large()) {
    hosts.push_back({self_, static_cast<int64_t>(own.size()) + room});
    for (const auto& [peer, host] : holders_.hosts()) {
      int64_t capacity = host.state.room;
      for (const HeldRange& range : host.state.held) capacity += range.count;
      hosts.push_back({peer, capacity});
    }
  }
  homes_.settle(std::move(hosts));
}

uint64_t Placement::rank_of(const peers::PeerId& peer, ExpertName expert) const {
  const peers::PeerId* home = homes_.of(expert);
  return home != nullptr && *home == peer ? UINT64_MAX : holders_.rank_of(peer, expert);
}

int64_t Placement::better_hosts(ExpertName expert, int64_t enough) const {
  const uint64_t our_rank = rank_of(self_, expert);
  int64_t better = 0;
  for (const auto& [peer, host] : holders_.hosts()) {
    if (better >= enough) break;
    if (rank_of(peer, expert) <= our_rank) continue;
    if (ranks(peer, host, expert)) ++better;
  }
  return better;
}

bool Placement::ranks(const peers::PeerId& peer, const OtherHost& host, ExpertName expert) const {
  const bool has = holders_.holds(peer, expert);
  if (!large()) return has || host.state.room > 0;
  return !has && host.state.room > 0 && (!host.state.held.empty() || in_reserve(peer));
}

bool Placement::our_turn(int64_t missing_ns) const {
  const int64_t doublings = missing_ns / config_.wider_ns;
  if (known_ || doublings >= 64) return true;
  return doublings > 0 && peers::ring_place(self_) >> doublings <= reserve_end_;
}

int64_t Placement::better_holders(ExpertName expert, peers::PeerId* best) const {
  uint64_t best_rank = rank_of(self_, expert);
  const uint64_t our_rank = best_rank;
  int64_t better = 0;
  for (const Holder& holder : holders_.of(expert)) {
    const uint64_t theirs = rank_of(holder.peer, expert);
    if (theirs > our_rank) ++better;
    if (theirs <= best_rank) continue;
    best_rank = theirs;
    *best = holder.peer;
  }
  return better;
}

// At most the hosts that there are.
int32_t Placement::wanted(ExpertName expert, double own_rows_per_s) const {
  double rows_per_s = own_rows_per_s;
  for (const Holder& holder : holders_.of(expert)) rows_per_s += rows_per_s_of(holder.load);
  const double mean = mean_load_[static_cast<size_t>(expert.layer.value)];
  const bool hot = mean > 0 && rows_per_s > config_.hot_factor * mean;
  return static_cast<int32_t>(
      std::min<size_t>(static_cast<size_t>(config_.replicas) + (hot ? 1 : 0), holders_.hosts().size() + 1));
}

PlacementRound Placement::decide(const std::vector<OwnReplica>& own, int32_t room, int64_t now_ns,
                                 uint64_t reserve_end, const MayAdopt& may_adopt) {
  reserve_end_ = reserve_end;
  known_ = known_to_all(own, now_ns);
  PlacementRound round;
  if (now_ns < settled_ns_) return round;
  measure_loads(own);
  find_homes(own, room);
  std::vector<Wish> wishes;
  auto held = own.begin();
  for (int64_t l = 0; l < config_.layers; ++l) {
    for (int64_t e = 0; e < config_.experts_max; ++e) {
      const ExpertName name{LayerId{l}, ExpertId{e}};
      if (held != own.end() && held->name == name) {
        missing_since_.erase(name);
        look_at_held(*held++, now_ns, round);
      } else if (e < config_.experts || holders_.seen(name)) {
        look_at_missing(name, now_ns, wishes);
      }
    }
  }
  std::erase_if(wishes, [&](const Wish& wish) { return may_adopt && !may_adopt(wish.expert); });
  std::sort(wishes.begin(), wishes.end());
  if (!wishes.empty() && room <= 0 && round.drop.empty()) {
    wishes.front().urgency == kOrphan ? make_room(own, round) : exchange(own, wishes, now_ns, round);
  }
  bool moved = false;
  for (const Wish& wish : wishes) {
    if (static_cast<int32_t>(round.adopt.size()) >= room || round.adopt.size() >= config_.adopt_max) break;
    // Moves are no hurry: one at a time, when nothing else is to be done.
    if (wish.urgency == kOurs && (moved || !round.adopt.empty())) break;
    moved = wish.urgency == kOurs;
    round.adopt.push_back(wish.expert);
  }
  return round;
}

void Placement::look_at_held(const OwnReplica& own, int64_t now_ns, PlacementRound& round) {
  if (retired(own.name)) {
    round.drop.push_back(own.name);
    return;
  }
  if (!own.ready || now_ns - own.since_ns < config_.tidy_ns) return;
  peers::PeerId best = self_;
  const int64_t better = better_holders(own.name, &best);
  if (own.leads) {
    if (best != self_ && round.hand_over.empty()) round.hand_over.push_back({own.name, best});
  } else if (better >= wanted(own.name, own.rows_per_s) && holders_.leader_of(own.name) != nullptr &&
             round.drop.empty()) {
    round.drop.push_back(own.name);
  }
}

bool Placement::others_lead(const OwnReplica& replica) const {
  return !replica.leads && holders_.leader_of(replica.name) != nullptr;
}

// For an expert that nobody has: a second replica of another is worth less.
void Placement::make_room(const std::vector<OwnReplica>& own, PlacementRound& round) const {
  const auto spare =
      std::ranges::find_if(own, [&](const OwnReplica& replica) { return others_lead(replica); });
  if (spare != own.end()) round.drop.push_back(spare->name);
}

// Never for one that has fewer replicas than the one that it is given up for.
void Placement::exchange(const std::vector<OwnReplica>& own, const std::vector<Wish>& wishes, int64_t now_ns,
                         PlacementRound& round) const {
  if (large()) return;
  for (const Wish& wish : wishes) {
    if (wish.urgency != kTooFew) continue;
    const int64_t full_ns = now_ns - missing_since_.at(wish.expert) - config_.full_ns;
    if (full_ns < 0 || !best_without(wish.expert, full_ns)) continue;
    const auto spare = std::ranges::find_if(own, [&](const OwnReplica& replica) {
      return others_lead(replica) && holders_.of(replica.name).size() >= holders_.of(wish.expert).size() &&
             another_can_take(replica.name);
    });
    if (spare == own.end()) continue;
    round.drop.push_back(spare->name);
    round.adopt.push_back(wish.expert);
    return;
  }
}

// Of the hosts that do not hold it; each patience_ns one more may.
bool Placement::best_without(ExpertName expert, int64_t full_ns) const {
  const uint64_t our_rank = rank_of(self_, expert);
  const auto better = std::ranges::count_if(holders_.hosts(), [&](const auto& other) {
    return rank_of(other.first, expert) > our_rank && !holders_.holds(other.first, expert);
  });
  return better <= full_ns / config_.patience_ns;
}

bool Placement::another_can_take(ExpertName expert) const {
  return std::ranges::any_of(holders_.hosts(), [&](const auto& other) {
    return other.second.state.room > 0 && !holders_.holds(other.first, expert);
  });
}

void Placement::look_at_missing(ExpertName expert, int64_t now_ns, std::vector<Wish>& wishes) {
  if (retired(expert)) return;
  const auto count = static_cast<int32_t>(holders_.of(expert).size());
  const int32_t want = wanted(expert, 0);
  const int32_t missing = want - count;
  if (missing <= 0) {
    missing_since_.erase(expert);
    if (large()) return;
    peers::PeerId best = self_;
    const int64_t better = better_hosts(expert, want);
    if (better < want && better_holders(expert, &best) < want) wishes.push_back({kOurs, better, expert});
    return;
  }
  const int64_t since_ns = missing_since_.try_emplace(expert, now_ns).first->second;
  if (!our_turn(now_ns - since_ns)) return;
  // In a small swarm those who hold it already rank too, so the first `want` are who should.
  const int64_t may = (large() ? missing : want) + (now_ns - since_ns) / config_.patience_ns;
  const int64_t rank = better_hosts(expert, may);
  if (rank >= may) return;
  const int urgency = count == 0 ? kOrphan : want > config_.replicas && missing == 1 ? kHot : kTooFew;
  wishes.push_back({urgency, rank, expert});
}

void Placement::measure_loads(const std::vector<OwnReplica>& own) {
  std::fill(mean_load_.begin(), mean_load_.end(), 0.0);
  if (!known_) return;  // what is hot is the business of those that are
  for (const OwnReplica& replica : own) {
    mean_load_[static_cast<size_t>(replica.name.layer.value)] += replica.rows_per_s;
  }
  std::set<LayerId> untold;
  for (const auto& [peer, host] : holders_.hosts()) {
    for (const HeldRange& range : host.state.held) {
      if (range.layer.value >= config_.layers) continue;
      if (range.leads && range.loads.empty()) untold.insert(range.layer);
      double& sum = mean_load_[static_cast<size_t>(range.layer.value)];
      if (range.loads.size() == 1) sum += range.count * rows_per_s_of(range.loads[0]);
      if (range.loads.size() > 1) {
        for (const uint8_t load : range.loads) sum += rows_per_s_of(load);
      }
    }
  }
  for (double& mean : mean_load_) mean /= static_cast<double>(config_.experts);
  // Where some do not tell, nobody knows what is hot: the others would seem to be.
  for (const LayerId layer : untold) mean_load_[static_cast<size_t>(layer.value)] = 0;
}

}  // namespace agora::swarm
