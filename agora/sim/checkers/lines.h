// Which updates are in which replica: the line that its weights come down on, over leaders, snapshots and
// disks.
//
//   lines.on_update(fact);   lines.of(peer, expert)->find(name_of(key));
//
// A line begins where somebody made first weights. A leader's gradients wait until its next step takes them
// in; a snapshot carries the line as it was written down, and who restores it goes on from there. Lines share
// what they have in common. Checkers that compare with what was before a fact are told before it is. One
// thread.
#pragma once

#include <map>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "agora/sim/history.h"

namespace agora::sim {

// 64 bits that name an update.
uint64_t name_of(const swarm::UpdateKey& key);

class Line {
 public:
  struct Update {
    uint64_t key = 0;
    int64_t at_ns = 0;
    uint64_t version = 0;  // of the expert when it came: the next step takes it in
    PeerNumber peer = 0;   // that took it, in this life
    uint32_t life = 0;
    std::shared_ptr<const Update> before;
  };

  void take(const UpdateFact& fact) {
    last_ = std::make_shared<const Update>(
        Update{name_of(fact.key), fact.at_ns, fact.version, fact.peer, fact.life, std::move(last_)});
  }
  // Without what had not been taken in by a step before `version`.
  Line up_to(uint64_t version) const;
  // The last one of this name; null: none.
  const Update* find(uint64_t key) const;
  bool trained() const { return last_ != nullptr; }
  // What it has and the other has not.
  std::vector<const Update*> beyond(const Line& other) const;

 private:
  std::shared_ptr<const Update> last_;
};

class Lines final : public History {
 public:
  void on_life(const LifeFact& fact) override;
  void on_update(const UpdateFact& fact) override;
  void on_role(const RoleFact& fact) override;
  void on_snapshot(const SnapshotFact& fact) override;

  // Null: the peer does not hold it.
  const Line* of(PeerNumber peer, swarm::ExpertName expert) const;
  // Null: nobody wrote such a snapshot.
  const Line* of_snapshot(uint64_t snapshot) const;
  struct Replica {
    Line line;
    int64_t since_ns = 0;  // when the peer, in this life, began to hold it
  };
  const std::map<std::pair<swarm::ExpertName, PeerNumber>, Replica>& all() const { return replicas_; }

 private:
  void begin(const RoleFact& fact, Line line);

  std::map<std::pair<swarm::ExpertName, PeerNumber>, Replica> replicas_;
  std::unordered_map<uint64_t, Line> snapshots_;  // as many as were written in the run
};

}  // namespace agora::sim
