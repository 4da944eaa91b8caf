// Which experts a host should take and which it may let go: decided by every host for itself, by nobody for
// all.
//
//   Placement placement(self, holders, {.layers = L, .experts = E, .experts_max = M}, rng, now);
//   PlacementRound round = placement.decide(own, room, now);      // every second or so
//
// Every host ranks all hosts for every expert, so all agree, without a word, on the `wanted` best of each:
// those with room adopt it, and nobody else does unless they do not come. First ranks the expert's home
// (homes.h), which should lead it; the others by Holders::rank_of, so that what follows a layer's leader is
// spread: when that host fails, all take a part of its work. In order:
//   1. experts that nobody holds, and those with fewer replicas than wanted: the best-ranked hosts with room;
//      each patience_ns that it stays so, one more may. For an expert that nobody holds a full host gives up
//      a replica that others lead. Where those without it stay full for full_ns, who has room holds it
//      already: then the best-ranked of them takes it in place of a replica that a host with room can take;
//   2. hot experts (hot_factor times their layer's mean load): one replica more. Not in a layer of which a
//      leader does not tell the loads;
//   3. a host that ranks among an expert's best adopts it even if others hold it; the worst-ranked holder,
//      seeing `wanted` better ones hold it, lets go: so experts move towards newcomers, one a round;
//   4. a leader hands over to the best-ranked holder, so that leading is spread as holding is.
// Hosts whose records came late may adopt the same expert; rule 3 tidies up.
//
// In a swarm so large that not all hosts know each other (reserve_end, see peers/directory/directory.h),
// those that hold experts and those of the reserve rank among themselves, for they are known to all. The
// others wait: for what stays missing the reserve counts as twice as large every wider_ns. Rule 3 adopts
// nothing there, so for rule 1 only those rank that do not hold the expert, and as many adopt as are missing.
// There are no homes in it.
//
// Work for each decision: experts + missing * log(hosts). Pure: (what is known, now) -> what to do; the
// caller does it. One thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "agora/base/rng.h"
#include "agora/swarm/host/held_experts.h"
#include "agora/swarm/host/holders.h"
#include "agora/swarm/placement/homes.h"

namespace agora::swarm {

struct PlacementConfig {
  int64_t layers = 0;
  int64_t experts = 0;      // there are so many from the start
  int64_t experts_max = 0;  // those between come and go: they exist once somebody was seen to hold them
  int32_t replicas = 2;
  int64_t settle_ns = 2'000'000'000;    // after the start: others become known. Up to a half more, at random
  int64_t patience_ns = 3'000'000'000;  // how long the best-ranked hosts have before the next may
  int64_t tidy_ns = 10'000'000'000;     // held for less, an expert is neither let go nor its leadership moved
  int64_t full_ns = 12'000'000'000;     // how long those with room are waited for
  int64_t wider_ns = 5'000'000'000;
  // Who came into the reserve waits so long: by then the others know, and it knows who else came.
  int64_t heard_ns = 3'000'000'000;
  double hot_factor = 4;
  size_t adopt_max = 64;  // in one round
};

// What the host itself holds.
struct OwnReplica {
  ExpertName name;
  bool leads = false;
  bool ready = false;    // it has the weights, and says so in its record
  int64_t since_ns = 0;  // when it was adopted, or last handed over to this host
  double rows_per_s = 0;
};

struct PlacementRound {
  std::vector<ExpertName> adopt;  // the most urgent first
  std::vector<ExpertName> drop;
  struct HandOver {
    ExpertName expert;
    peers::PeerId to;
  };
  std::vector<HandOver> hand_over;
};

class Placement {
 public:
  // Borrows holders.
  Placement(const peers::PeerId& self, const Holders& holders, const PlacementConfig& config, Rng rng,
            int64_t now_ns);

  // Whether an expert may be adopted by now; asked only where this host would adopt it. What may not takes no
  // place of what may.
  using MayAdopt = std::function<bool(ExpertName)>;
  // own ascends by name. room: experts that may be adopted now. reserve_end: the directory's. Without
  // may_adopt all may.
  PlacementRound decide(const std::vector<OwnReplica>& own, int32_t room, int64_t now_ns,
                        uint64_t reserve_end = UINT64_MAX, const MayAdopt& may_adopt = {});

  // Never adopted again; dropped where they are held.
  void retire(ExpertName expert) { retired_.insert(expert); }
  bool retired(ExpertName expert) const { return retired_.contains(expert); }

 private:
  struct Wish;
  bool in_reserve(const peers::PeerId& peer) const;
  bool known_to_all(const std::vector<OwnReplica>& own, int64_t now_ns);
  bool large() const { return reserve_end_ != UINT64_MAX; }
  void find_homes(const std::vector<OwnReplica>& own, int32_t room);
  uint64_t rank_of(const peers::PeerId& peer, ExpertName expert) const;
  // Of hosts that hold the expert or could - in a large swarm: that do not, could and are known to all -, how
  // many rank before this one: counted up to `enough`.
  int64_t better_hosts(ExpertName expert, int64_t enough) const;
  bool ranks(const peers::PeerId& peer, const OtherHost& host, ExpertName expert) const;
  // Whether this host is asked about what has been missing for so long.
  bool our_turn(int64_t missing_ns) const;
  int64_t better_holders(ExpertName expert, peers::PeerId* best) const;
  int32_t wanted(ExpertName expert, double own_rows_per_s) const;
  void look_at_held(const OwnReplica& own, int64_t now_ns, PlacementRound& round);
  bool others_lead(const OwnReplica& replica) const;
  // Both for a host without room that lets go of nothing in this round.
  void make_room(const std::vector<OwnReplica>& own, PlacementRound& round) const;
  void exchange(const std::vector<OwnReplica>& own, const std::vector<Wish>& wishes, int64_t now_ns,
                PlacementRound& round) const;
  bool best_without(ExpertName expert, int64_t full_ns) const;
  bool another_can_take(ExpertName expert) const;
  void look_at_missing(ExpertName expert, int64_t now_ns, std::vector<Wish>& wishes);
  void measure_loads(const std::vector<OwnReplica>& own);

  peers::PeerId self_;
  const Holders& holders_;
  PlacementConfig config_;
  int64_t settled_ns_;
  uint64_t reserve_end_ = UINT64_MAX;  // these two: in the round at hand
  bool known_ = true;                  // this host, to all
  int64_t in_reserve_ns_ = INT64_MAX;  // of a large swarm, since when
  Homes homes_;
  std::set<ExpertName> retired_;
  std::map<ExpertName, int64_t> missing_since_;
  std::vector<double> mean_load_;  // [L] rows a second; 0 where not all is told
};

}  // namespace agora::swarm
