#include "agora/sim/checkers/updates.h"

#include <algorithm>

namespace agora::sim {

using base::concat;

void UpdatesAppliedOnce::on_update(const UpdateFact& fact) {
  if (!fact.taken) return;
  const std::string update = concat("step ", fact.key.step, " part ", fact.key.part, " of trainer ",
                                    fact.key.trainer.brief(), " at ", name_of(fact.expert));
  const Line* line = lines_.of(fact.peer, fact.expert);
  if (line == nullptr || line->find(name_of(fact.key)) == nullptr) return;
  violated(fact.at_ns, concat(update, " to be taken once"),
           concat("peer ", fact.peer, " took it again, in epoch ", fact.epoch, " at version ", fact.version));
}

void UpdatesAppliedOnce::on_role(const RoleFact& fact) {
  if (fact.kind != RoleFact::Kind::restored || lines_.of_snapshot(fact.snapshot) != nullptr) return;
  violated(fact.at_ns,
           concat("peer ", fact.peer, " to restore ", name_of(fact.expert), " as somebody wrote it"),
           "bytes that nobody wrote");
}

void LossWindowKept::on_life(const LifeFact& fact) {
  if (fact.kind != LifeFact::Kind::left && fact.kind != LifeFact::Kind::crashed) return;
  for (auto& [expert, leader] : leaders_) {
    if (leader.peer != fact.peer || leader.end != End::leads) continue;
    end(expert, leader, fact.kind == LifeFact::Kind::left ? End::left : End::crashed, fact.at_ns);
  }
  for (auto& [expert, rivals] : rivals_) {
    std::erase_if(rivals, [&](const Leader& rival) { return rival.peer == fact.peer; });
  }
}

void LossWindowKept::on_role(const RoleFact& fact) {
  if (fact.kind == RoleFact::Kind::restored) restored_[{fact.expert, fact.peer}] = fact.epoch;
  const auto known = leaders_.find(fact.expert);
  const bool leads = known != leaders_.end() && known->second.peer == fact.peer;
  const Leader now{.peer = fact.peer, .epoch = fact.epoch, .since_ns = fact.at_ns};
  if (fact.kind == RoleFact::Kind::led) {
    if (known != leaders_.end() && !leads) {
      if (fact.epoch <= known->second.epoch) {  // two claims: one will step down
        rivals_[fact.expert].push_back(now);
        return;
      }
      succeed(fact, known->second);
    }
    leaders_[fact.expert] = now;
    rivals_.erase(fact.expert);
  } else if (fact.kind == RoleFact::Kind::followed || fact.kind == RoleFact::Kind::dropped) {
    std::vector<Leader>& rivals = rivals_[fact.expert];
    std::erase_if(rivals, [&](const Leader& rival) { return rival.peer == fact.peer; });
    if (!leads) return;
    if (!rivals.empty()) {
      known->second = rivals.front();
      rivals.erase(rivals.begin());
    } else if (fact.kind == RoleFact::Kind::dropped && known->second.end == End::leads) {
      end(fact.expert, known->second, End::left, fact.at_ns);
    }
  }
}

// As far as others know from now on.
void LossWindowKept::end(swarm::ExpertName expert, Leader& leader, End how, int64_t at_ns) const {
  leader.end = how;
  leader.end_ns = at_ns;
  if (const Line* line = lines_.of(leader.peer, expert)) leader.line = *line;
}

// Of two that claim before they can have heard of each other, each succeeds who led before them.
void LossWindowKept::succeed(const RoleFact& fact, const Leader& last) {
  if (last.end == End::leads && fact.at_ns - last.since_ns < kSeenNs) {
    if (const auto before = before_.find(fact.expert); before != before_.end()) judge(fact, before->second);
    return;
  }
  judge(fact, last);
  Leader& before = before_[fact.expert] = last;
  if (before.end == End::leads) end(fact.expert, before, End::crashed, fact.at_ns);
}

void LossWindowKept::judge(const RoleFact& fact, const Leader& before) {
  const bool lives = before.end == End::leads;
  const Line* theirs = lives ? lines_.of(before.peer, fact.expert) : &before.line;
  const Line* ours = lines_.of(fact.peer, fact.expert);
  if (theirs == nullptr || ours == nullptr) return;
  const auto restored = restored_.find({fact.expert, fact.peer});
  if (restored != restored_.end() && restored->second > before.epoch) return;
  const int64_t end_ns = lives ? fact.at_ns : before.end_ns;
  const bool unseen = fact.at_ns - before.since_ns < kSeenNs;
  const bool dead = lives ? doubted_ : before.end == End::crashed;  // as far as the others know
  const int64_t kept_ns = dead || unseen ? end_ns - loss_window_ns_ : end_ns;
  if ((dead || !lives) && !followed_since(fact.expert, before.peer, kept_ns)) return;
  const auto missing = theirs->beyond(*ours);
  const auto lost = std::ranges::count_if(missing, [&](const auto* u) { return u->at_ns < kept_ns; });
  if (lost == 0) return;
  violated(
      fact.at_ns,
      concat("peer ", fact.peer, ", which leads ", name_of(fact.expert), " in epoch ", fact.epoch,
             ", to have what peer ", before.peer, " had taken until ", kept_ns / kMillisecondNs, " ms (it ",
             lives                     ? "lives"
             : before.end == End::left ? "left"
                                       : "died",
             ")"),
      concat(lost, " updates less"));
}

// Whether a replica that lives has been one, without a pause, since then.
bool LossWindowKept::followed_since(swarm::ExpertName expert, PeerNumber leader, int64_t since_ns) const {
  return std::ranges::any_of(lines_.all(), [&](const auto& entry) {
    const auto& [at, replica] = entry;
    return at.first == expert && at.second != leader && replica.since_ns <= since_ns;
  });
}

void ExpertsSurvive::on_role(const RoleFact& fact) {
  if (fact.kind != RoleFact::Kind::adopted) return;
  for (const auto& [at, replica] : lines_.all()) {
    const auto& [expert, peer] = at;
    if (expert != fact.expert || peer == fact.peer || !replica.line.trained()) continue;
    if (fact.at_ns - replica.since_ns < kSeenNs) continue;
    if (world_.peers()[peer]->leaving()) continue;
    return violated(fact.at_ns,
                    concat(name_of(expert), " to go on from peer ", peer, ", which has trained it"),
                    concat("peer ", fact.peer, " begins it anew"));
  }
}

}  // namespace agora::sim
