#include "agora/sim/checkers/swarm_state.h"

#include <malloc.h>

#include <algorithm>
#include <set>
#include <utility>

namespace agora::sim {

using base::concat;

namespace {

// Whom nobody told that a peer has gone keeps its record for so long.
constexpr int64_t kRecordNs = 35 * kSecondNs;

}  // namespace

// ---- leaders

void LeadersAgree::look(World& world) {
  std::map<swarm::ExpertName, Holders> experts;
  for (Peer* peer : world.hosts()) {
    if (!peer->alive()) continue;
    for (const auto& [name, held] : peer->host()->experts().held()) {
      Holders& holders = experts[name];
      ++holders.replicas;
      if (held.role != swarm::Role::leader) continue;
      holders.leaders.emplace_back(held.epoch, peer->number());
      holders.handing_over += held.frozen ? 1 : 0;
    }
  }
  const int64_t now_ns = world.now_ns();
  for (auto& [name, holders] : experts) {
    std::ranges::sort(holders.leaders);
    const auto two = std::ranges::adjacent_find(
        holders.leaders, [](const auto& a, const auto& b) { return a.first == b.first; });
    if (two == holders.leaders.end()) {
      two_since_ns_.erase(name);
      continue;
    }
    const int64_t since_ns = two_since_ns_.try_emplace(name, now_ns).first->second;
    if (!messages_arrive_ || now_ns - since_ns < kTwoLeadersNsMax) continue;
    violated(now_ns, concat("one leader of epoch ", two->first, " of ", name_of(name)),
             concat("peers ", two->second, " and ", std::next(two)->second, " for ",
                    (now_ns - since_ns) / kSecondNs, " s"));
  }
  if (settled(now_ns)) judge_settled(world, experts);
}

void LeadersAgree::on_role(const RoleFact& fact) {
  const std::pair at(fact.expert, fact.peer);
  if (fact.kind == RoleFact::Kind::restored) restored_epoch_[at] = fact.epoch;
  if (fact.kind == RoleFact::Kind::adopted || fact.kind == RoleFact::Kind::dropped) restored_epoch_.erase(at);
  if (fact.kind != RoleFact::Kind::led) return;
  const auto weights = restored_epoch_.find(at);
  if (weights == restored_epoch_.end() || fact.epoch > weights->second) return;
  violated(fact.at_ns,
           concat("peer ", fact.peer, " to lead ", name_of(fact.expert), " in an epoch above its weights', ",
                  weights->second),
           concat("it leads in epoch ", fact.epoch));
}

void LeadersAgree::judge_settled(World& world, const std::map<swarm::ExpertName, Holders>& experts) {
  const auto living = std::ranges::count_if(world.hosts(), [](Peer* peer) { return peer->alive(); });
  const int64_t wanted = std::min<int64_t>(world.spec().replicas, living);
  for (int64_t l = 0; l < world.spec().layers; ++l) {
    for (int64_t e = 0; e < world.spec().experts; ++e) {
      const swarm::ExpertName name{LayerId{l}, ExpertId{static_cast<int32_t>(e)}};
      const auto found = experts.find(name);
      const Holders holders = found == experts.end() ? Holders{} : found->second;
      if (holders.one_leads() && holders.replicas >= wanted) continue;
      violated(world.now_ns(), concat(name_of(name), " to have one leader and ", wanted, " replicas in calm"),
               concat(holders.leaders.size(), " leaders, ", holders.replicas, " replicas"));
    }
  }
}

// ---- views

void ViewsConverge::look(World& world) {
  for (const std::unique_ptr<Peer>& peer : world.peers()) {
    if (peer->alive()) judge_freshness(world, *peer);
  }
  if (settled(world.now_ns())) judge_settled(world);
}

void ViewsConverge::judge_freshness(World& world, Peer& viewer) {
  Viewer& known = viewers_[viewer.number()];
  if (std::exchange(known.life, viewer.life()) != viewer.life()) known.sequence.clear();
  std::map<peers::PeerId, uint64_t> fresh;
  for (const auto& record : viewer.process().directory->records()) {
    fresh[record->peer] = record->sequence;
    const auto before = known.sequence.find(record->peer);
    if (before == known.sequence.end() || record->sequence >= before->second) continue;
    violated(
        world.now_ns(),
        concat("peer ", viewer.number(), " to keep record ", before->second, " of ", record->peer.brief()),
        concat("it took record ", record->sequence));
  }
  if (world.peers().size() <= kAllRememberedMax) fresh.merge(known.sequence);
  known.sequence = std::move(fresh);
}

void ViewsConverge::judge_settled(World& world) {
  std::map<peers::PeerId, PeerNumber> numbers;
  std::set<PeerNumber> living, going;  // going: or gone, within a record's time
  for (const std::unique_ptr<Peer>& peer : world.peers()) {
    const PeerNumber number = peer->number();
    numbers.emplace(peer->id(), number);
    if (peer->alive()) {
      (peer->leaving() ? going : living).insert(number);
      continue;
    }
    const auto ended = ended_ns_.find(number);
    if (ended != ended_ns_.end() && world.now_ns() - ended->second < kRecordNs) going.insert(number);
  }
  for (const PeerNumber viewer : living) {
    std::set<PeerNumber> seen{viewer};
    for (const auto& record : world.peers()[viewer]->process().directory->records()) {
      seen.insert(numbers.at(record->peer));
    }
    if (seen == living) continue;
    std::vector<PeerNumber> missing, dead;
    std::ranges::set_difference(living, seen, std::back_inserter(missing));
    std::ranges::set_difference(seen, living, std::back_inserter(dead));
    std::erase_if(dead, [&](PeerNumber peer) { return going.contains(peer); });
    if (missing.empty() && dead.empty()) continue;
    violated(world.now_ns(), concat("peer ", viewer, " to see the living and nobody else in calm"),
             concat("it does not see ", base::listed(missing), ", it sees the dead ", base::listed(dead)));
  }
}

// ---- waiting

void NothingWaits::on_answer(const AnswerFact& fact) {
  const std::string question = concat("gate ", fact.peer, " question ", fact.question);
  judge_time(question, fact, fact.asked_ns);
  if (!settled(fact.asked_ns)) return;
  if (!fact.status.ok()) {
    violated(fact.at_ns, concat(question, " to be answered in calm"), fact.status.ToString());
  } else if (fact.mass_lost > 0) {
    violated(fact.at_ns, concat(question, " to be answered whole in calm"),
             concat(fact.mass_lost, " of ", fact.mass, " was lost"));
  } else if (std::ranges::count(fact.served, swarm::ServedBy::next_expert, &swarm::ServedChoice::by) > 0) {
    violated(fact.at_ns, concat(question, " to be answered by the experts chosen in calm"), "a runner-up");
  }
}

void NothingWaits::on_gradient(const GradientFact& fact) {
  const std::string question = concat("gate ", fact.peer, " question ", fact.question);
  judge_time(question + "'s gradient", fact, fact.sent_ns);
  if ((fact.status.ok() && fact.lost == 0 && fact.refused == 0) || !settled(fact.sent_ns)) return;
  violated(
      fact.at_ns, concat(question, " to bring its gradient in calm"),
      concat(fact.status.ToString(), ", ", fact.lost, " choices lost, ", fact.refused, " hosts refused it"));
}

void NothingWaits::judge_time(const std::string& what, const PeerFact& ended, int64_t began_ns) {
  const int64_t took_ns = ended.at_ns - began_ns;
  if (took_ns <= deadline_ns_ + kGraceNs) return;
  violated(ended.at_ns, concat(what, " to end within ", deadline_ns_ / kMillisecondNs, " ms"),
           concat(took_ns / kMillisecondNs, " ms"));
}

// ---- limits

void QueuesBounded::look(World& world) {
  for (const std::unique_ptr<Peer>& peer : world.peers()) {
    if (!peer->alive()) continue;
    const auto judge = [&](size_t is, size_t limit, const char* what) {
      if (is <= limit) return;
      violated(world.now_ns(), concat("peer ", peer->number(), " to have at most ", limit, " ", what),
               concat(is));
    };
    judge(peer->process().loop->timers(), kTimersMax, "timers");
    const HostRole* host = peer->host();
    if (host == nullptr) continue;
    judge(host->service().counters().waiting_most, world.settings_of(*peer).service.queue.calls_max,
          "calls waiting");
    judge(host->compute().waiting(), kTasksMax, "pieces of work waiting");
  }
}

void MemoryBounded::look(World& world) {
  const auto heap = mallinfo2();
  const size_t now = heap.uordblks + heap.hblkhd;  // what is large is mapped by itself
  if (at_first_ == 0) at_first_ = now;
  const size_t bytes = now < at_first_ ? 0 : (now - at_first_) / world.peers().size();
  if (bytes <= kBytesPerPeerMax) return;
  violated(world.now_ns(), concat("at most ", kBytesPerPeerMax, " bytes a peer"), concat(bytes));
}

}  // namespace agora::sim
