#include "agora/sim/checkers/lines.h"

#include <unordered_set>

#include "agora/base/rng.h"

namespace agora::sim {

uint64_t name_of(const swarm::UpdateKey& key) {
  uint64_t name = std::hash<peers::PeerId>()(key.trainer);
  for (const uint64_t part : {key.run, key.step, uint64_t{key.micro_batch},
                              static_cast<uint64_t>(key.layer.value), uint64_t{key.part}}) {
    name = mix_bits(name ^ part);
  }
  return name;
}

Line Line::up_to(uint64_t version) const {
  Line line = *this;
  while (line.last_ != nullptr && line.last_->version >= version) line.last_ = line.last_->before;
  return line;
}

const Line::Update* Line::find(uint64_t key) const {
  for (const Update* u = last_.get(); u != nullptr; u = u->before.get()) {
    if (u->key == key) return u;
  }
  return nullptr;
}

std::vector<const Line::Update*> Line::beyond(const Line& other) const {
  std::unordered_set<uint64_t> there;
  for (const Update* u = other.last_.get(); u != nullptr; u = u->before.get()) there.insert(u->key);
  std::vector<const Update*> missing;
  for (const Update* u = last_.get(); u != nullptr; u = u->before.get()) {
    if (!there.contains(u->key)) missing.push_back(u);
  }
  return missing;
}

void Lines::on_life(const LifeFact& fact) {
  if (fact.kind == LifeFact::Kind::frozen) return;
  std::erase_if(replicas_, [&](const auto& replica) { return replica.first.second == fact.peer; });
}

void Lines::on_update(const UpdateFact& fact) {
  const auto replica = replicas_.find({fact.expert, fact.peer});
  if (!fact.taken || replica == replicas_.end()) return;
  replica->second.line.take(fact);
}

void Lines::begin(const RoleFact& fact, Line line) {
  const auto [replica, first] = replicas_.try_emplace({fact.expert, fact.peer}, Replica{line, fact.at_ns});
  if (!first) replica->second.line = std::move(line);
}

void Lines::on_role(const RoleFact& fact) {
  const std::pair at(fact.expert, fact.peer);
  switch (fact.kind) {
    case RoleFact::Kind::adopted:
      begin(fact, Line());
      break;
    case RoleFact::Kind::restored: {
      const Line* written = of_snapshot(fact.snapshot);
      begin(fact, written != nullptr ? *written : Line());
      break;
    }
    case RoleFact::Kind::followed:  // gradients that waited are dropped
      if (const auto replica = replicas_.find(at); replica != replicas_.end()) {
        replica->second.line = replica->second.line.up_to(fact.version);
      }
      break;
    case RoleFact::Kind::dropped:
      replicas_.erase(at);
      break;
    case RoleFact::Kind::led:
      break;
  }
}

void Lines::on_snapshot(const SnapshotFact& fact) {
  const Line* line = of(fact.peer, fact.expert);
  if (line != nullptr) snapshots_.insert_or_assign(fact.snapshot, line->up_to(fact.version));
}

const Line* Lines::of(PeerNumber peer, swarm::ExpertName expert) const {
  const auto replica = replicas_.find({expert, peer});
  return replica == replicas_.end() ? nullptr : &replica->second.line;
}

const Line* Lines::of_snapshot(uint64_t snapshot) const {
  const auto line = snapshots_.find(snapshot);
  return line == snapshots_.end() ? nullptr : &line->second;
}

}  // namespace agora::sim
