// Who leads an expert: the replica that takes updates. Every holder decides for itself, from the others'
// records.
//
//   Leadership leadership(self, holders, {});
//   leadership.hold(name, epoch, version);                        // as a follower
//   for (const LeadershipChange& c : leadership.on_change(name, now)) {
//     store.set_role(c.expert, c.role, c.epoch);
//   }
//   leadership.on_timer(now);   leadership.next_ns();
//
// - Nobody leads (the leader's record expired, went, or never was): a follower waits and then leads with an
//   epoch above all it has seen. How long it waits, from when it knew, depends on how many other followers
//   are fresher - a greater (epoch, version) or, of equals, the better rank (Holders::rank_of) -, so that the
//   freshest claims first and the others see its claim. A fresher one that is heard of meanwhile counts too.
// - Who led says, alive, that it follows: it has handed over or heard of another that leads. That one's
//   record is on its way, so all wait as for one that is fresher.
// - Two lead: the one with the lesser epoch follows; of one epoch, the one ranked worse.
// - Who stood still rests: it claims nothing before it has heard what happened meanwhile, and who is fresher.
// - A leader that hands over (release()) follows and does not claim while the one it named may come: for a
//   while, and until that one has gone, or soon after it was heard to have begun again with older weights.
// Work for each event: the holders of that expert. Bytes: 150 an expert held. Pure. One thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "agora/swarm/host/held_experts.h"
#include "agora/swarm/host/holders.h"

namespace agora::swarm {

struct LeadershipConfig {
  int64_t claim_ns = 300'000'000;  // of the freshest follower; a record that is late may still come
  int64_t claim_step_ns =
      2'500'000'000;  // more for each fresher follower: a claim is published and seen within it
  int64_t hand_over_ns = 15'000'000'000;  // a new leader that was named has so long to say that it leads
  // Who has just started, from a disk perhaps, does not know yet who leads or is fresher: no claim counts
  // from before.
  int64_t claims_from_ns = 0;
};

struct LeadershipChange {
  ExpertName expert;
  Role role = Role::follower;
  uint32_t epoch = 0;  // that it leads with; of a follower: that its weights are of
};

class Leadership {
 public:
  // Borrows holders.
  Leadership(const peers::PeerId& self, const Holders& holders, const LeadershipConfig& config)
      : self_(self), holders_(holders), config_(config) {}

  // Held from now on, or moved on to another epoch and version (of its weights). A new one follows.
  void hold(ExpertName expert, uint32_t epoch, uint64_t version);
  void drop(ExpertName expert);
  // Leads at once, with an epoch above all it has seen, or the last that there is: it was asked to by the
  // leader, or is told to by a person.
  LeadershipChange take(ExpertName expert);
  // Follows at once: another host was asked to lead.
  LeadershipChange release(ExpertName expert, const peers::PeerId& to, int64_t now_ns);

  // No claim before this time.
  void rest(int64_t until_ns);

  std::vector<LeadershipChange> on_change(ExpertName expert, int64_t now_ns);
  std::vector<LeadershipChange> on_timer(int64_t now_ns);
  int64_t next_ns() const { return claims_.empty() ? INT64_MAX : claims_.begin()->first; }

  bool leads(ExpertName expert) const;
  // To whom it was handed over, whose record as its leader has not come; null: nobody is waited for any more.
  const peers::PeerId* awaited(ExpertName expert, int64_t now_ns) const;
  uint32_t epoch(ExpertName expert) const;  // 0: not held

 private:
  struct Own {
    Role role = Role::follower;
    uint32_t epoch = 0;
    uint64_t version = 0;
    int64_t alone_ns = 0;       // since when nobody leads, as far as is known; 0: somebody does
    int64_t claim_ns = 0;       // when it leads unless somebody else does; 0: no claim
    int64_t not_before_ns = 0;  // of claims, after a hand-over
    peers::PeerId successor;    // after a hand-over: for whom it waits until then
    peers::PeerId followed;     // who led last; empty: nobody, or this host
    bool succeeded = false;     // that one follows now: somebody else leads, and is not heard yet
    std::pair<uint32_t, uint64_t> successor_had = {};  // epoch and version, when it was named
  };
  void decide(ExpertName expert, Own& own, int64_t now_ns, std::vector<LeadershipChange>& changes);
  int64_t claim_time_ns(ExpertName expert, const Own& own) const;
  void set_claim(ExpertName expert, Own& own, int64_t when_ns);
  void led_by(ExpertName expert, Own& own, const peers::PeerId& leader);
  const Holder* leader_of(ExpertName expert, const Own& own) const;
  int64_t fresher(ExpertName expert, const Own& own) const;
  std::pair<uint32_t, uint64_t> had_by(const peers::PeerId& peer, ExpertName expert) const;
  uint32_t next_epoch(ExpertName expert, const Own& own) const;

  peers::PeerId self_;
  const Holders& holders_;
  LeadershipConfig config_;
  int64_t rest_until_ns_ = 0;
  std::map<ExpertName, Own> own_;
  std::set<std::pair<int64_t, ExpertName>> claims_;
};

}  // namespace agora::swarm
