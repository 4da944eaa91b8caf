// What must hold of the swarm as it stands: looked at every second.
//
//   run.each_sample([&](World& world, bool) { for (Checker* c : checkers) c->look(world); });
//
// One thread.
#pragma once

#include <map>
#include <vector>

#include "agora/sim/checkers/checker.h"

namespace agora::sim {

// In calm each expert has one leader and as many replicas as are wanted; never do two lead in one epoch for
// long, if messages arrive; and who begins to lead does so in an epoch above that of its weights.
class LeadersAgree final : public Checker {
 public:
  LeadersAgree(bool messages_arrive, Verdict& verdict)
      : Checker("leaders agree", verdict), messages_arrive_(messages_arrive) {}

  void look(World& world) override;
  void on_role(const RoleFact& fact) override;

 private:
  // A claim is published within a second and known to all a few seconds later.
  static constexpr int64_t kTwoLeadersNsMax = 15 * kSecondNs;

  struct Holders {
    std::vector<std::pair<uint32_t, PeerNumber>> leaders;  // by epoch
    int64_t handing_over = 0;  // of them: they take no updates, and their successors may lead already
    int64_t replicas = 0;

    // Whose successor does not lead yet is the leader still.
    bool one_leads() const {
      const int64_t taking = std::ssize(leaders) - handing_over;
      return taking == 1 || (taking == 0 && handing_over == 1);
    }
  };
  void judge_settled(World& world, const std::map<swarm::ExpertName, Holders>& experts);

  const bool messages_arrive_;
  std::map<swarm::ExpertName, int64_t> two_since_ns_;
  std::map<std::pair<swarm::ExpertName, PeerNumber>, uint32_t> restored_epoch_;
};

// In calm everybody sees everybody, and nobody who is dead; and nobody ever sees an older record after a
// fresher one, though the peer had gone in between.
class ViewsConverge final : public Checker {
 public:
  explicit ViewsConverge(Verdict& verdict) : Checker("views converge", verdict) {}
  void look(World& world) override;
  void on_life(const LifeFact& fact) override { ended_ns_[fact.peer] = fact.at_ns; }

 private:
  void judge_freshness(World& world, Peer& viewer);
  void judge_settled(World& world);

  // Up to so many peers no view forgets one for want of room: who went is remembered by its tombstone.
  static constexpr size_t kAllRememberedMax = 256;

  struct Viewer {
    uint32_t life = 0;
    std::map<peers::PeerId, uint64_t> sequence;  // of the last record that it had of a peer
  };
  std::map<PeerNumber, Viewer> viewers_;
  std::map<PeerNumber, int64_t> ended_ns_;  // of the dead: when
};

// A question ends by its deadline, its gradient by its own; in calm each is answered whole, by the experts
// chosen, and every gradient is taken.
class NothingWaits final : public Checker {
 public:
  NothingWaits(int64_t deadline_ns, Verdict& verdict)
      : Checker("nothing waits", verdict), deadline_ns_(deadline_ns) {}

  void on_answer(const AnswerFact& fact) override;
  void on_gradient(const GradientFact& fact) override;

 private:
  static constexpr int64_t kGraceNs = 2 * kSecondNs;  // a retry's last pause, and the way home

  void judge_time(const std::string& what, const PeerFact& ended, int64_t began_ns);

  const int64_t deadline_ns_;
};

// No peer piles up work or timers beyond its limits, and no host ever had more calls waiting than it may.
class QueuesBounded final : public Checker {
 public:
  explicit QueuesBounded(Verdict& verdict) : Checker("queues bounded", verdict) {}
  void look(World& world) override;

 private:
  // Of a peer besides its queue of calls: periodic tasks, deadlines of its own calls, claims.
  static constexpr size_t kTimersMax = 4096;
  // In a host's executor, where all its calls are one: steps, roles, snapshots.
  static constexpr size_t kTasksMax = 256;
};

// What a peer keeps does not grow with time: measured by the process's heap, so by all peers together.
class MemoryBounded final : public Checker {
 public:
  explicit MemoryBounded(Verdict& verdict) : Checker("memory bounded", verdict) {}
  void look(World& world) override;

 private:
  // Of tiny experts and small swarms: views, tickets, ledgers, what is under way; and this run's own notes.
  static constexpr size_t kBytesPerPeerMax = size_t{8} << 20;

  size_t at_first_ = 0;
};

}  // namespace agora::sim
