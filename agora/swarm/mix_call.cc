#include "agora/swarm/mix_call.h"

#include <algorithm>
#include <map>

#include "agora/base/check.h"

namespace agora::swarm {
namespace {

// Of what is asked once more: who stands in for the chosen expert still does.
Way way_after(Way before) { return before == Way::next_expert ? Way::next_expert : Way::replica; }

}  // namespace

MixCall::MixCall(const moe::Route& route, const MixSettings& settings, Candidates candidates,
                 CallBudget& budget, Rng rng, Patience patience)
    : route_(route),
      settings_(settings),
      candidates_(std::move(candidates)),
      patience_(std::move(patience)),
      budget_(budget),
      rng_(rng),
      arrived_(static_cast<size_t>(route.choices()), 0) {
  token_.resize(arrived_.size());
  for (int64_t t = 0; t < route.tokens(); ++t) {
    for (int32_t i = route.first[t]; i < route.first[t + 1]; ++i) token_[i] = static_cast<int32_t>(t);
  }
}

MixActions MixCall::start(int64_t now_ns) {
  MixActions actions;
  std::vector<Choice> all;
  for (int32_t i = 0; i < static_cast<int32_t>(route_.choices()); ++i) all.push_back({i, route_.expert[i]});
  assign(std::move(all), Way::first, kNone, now_ns, actions);
  return actions;
}

// The first sends have the numbers of the pieces, also those that are not sent.
MixActions MixCall::start(const std::vector<Pinned>& pieces, int64_t now_ns) {
  MixActions actions;
  std::vector<uint32_t> elsewhere;
  for (const Pinned& piece : pieces) {
    MixSend plan{.to = piece.to, .at = piece.at, .choices = piece.choices, .experts = {}};
    plan.origin = kNone;
    for (const int32_t i : piece.choices) plan.experts.push_back(route_.expert[i]);
    if (is_candidate(plan.to, plan.experts)) {
      add_send(std::move(plan), now_ns, actions);
      continue;
    }
    plan.send = plan.origin = static_cast<uint32_t>(sends_.size());
    elsewhere.push_back(plan.send);
    sends_.push_back({.plan = std::move(plan), .phase = Phase::failed, .hedges = {}, .arrived = {}});
  }
  for (const uint32_t number : elsewhere) {
    assign(choices_of(sends_[number].plan), Way::replica, number, now_ns, actions);
  }
  return actions;
}

// Where nobody is a candidate the host that was is better than nothing.
bool MixCall::is_candidate(const peers::PeerId& host, const std::vector<int32_t>& experts) const {
  if (experts.empty()) return true;
  const std::vector<Candidate> candidates = candidates_(experts.front());
  return candidates.empty() ||
         std::ranges::any_of(candidates, [&](const Candidate& candidate) { return candidate.peer == host; });
}

// Groups the choices by the hosts that are chosen for their experts.
void MixCall::assign(std::vector<Choice> choices, Way way, uint32_t origin, int64_t now_ns,
                     MixActions& actions) {
  std::map<int32_t, const Candidate*> host_of;  // expert -> its host; null: none is left
  std::vector<std::vector<Candidate>> kept;     // what host_of points into
  kept.reserve(choices.size());
  std::map<peers::PeerId, MixSend> plans;
  std::vector<Choice> lost;
  for (const Choice& choice : choices) {
    auto known = host_of.find(choice.expert);
    if (known == host_of.end()) {
      kept.push_back(candidates_(choice.expert));
      known = host_of.emplace(choice.expert, choose(kept.back(), choice.expert, nullptr)).first;
    }
    if (known->second == nullptr) {
      lost.push_back(choice);
      continue;
    }
    MixSend& plan = plans[known->second->peer];
    plan.to = known->second->peer;
    plan.at = known->second->endpoint;
    plan.choices.push_back(choice.choice);
    plan.experts.push_back(choice.expert);
  }
  for (auto& [peer, plan] : plans) {
    plan.way = way;
    plan.origin = origin;
    add_send(std::move(plan), now_ns, actions);
  }
  if (!lost.empty()) lose(std::move(lost), origin, now_ns, actions);
}

// The leader of the highest epoch; or, of it and those that are fresh enough, the one with less to wait of
// two drawn. The leader's weights are the freshest, however coarse its record is.
const Candidate* MixCall::choose(const std::vector<Candidate>& all, int32_t expert,
                                 const peers::PeerId* without) {
  std::vector<const Candidate*> usable;
  uint64_t freshest = 0;
  for (const Candidate& candidate : all) {
    if (gone_.contains(candidate.peer) || not_held_.contains({candidate.peer, expert})) continue;
    if (without != nullptr && candidate.peer == *without) continue;
    usable.push_back(&candidate);
    freshest = std::max(freshest, candidate.version);
  }
  if (usable.empty()) return nullptr;
  const Candidate* leader =
      *std::max_element(usable.begin(), usable.end(), [](const Candidate* a, const Candidate* b) {
        return std::tuple(a->leads, a->epoch, a->version) < std::tuple(b->leads, b->epoch, b->version);
      });
  if (settings_.leader_first) return leader;
  std::erase_if(usable, [&](const Candidate* c) {
    return c != leader && freshest - c->version > settings_.version_age_max;
  });
  const Candidate* a = usable[rng_.below(static_cast<uint32_t>(usable.size()))];
  const Candidate* b = usable[rng_.below(static_cast<uint32_t>(usable.size()))];
  return b->wait_ns < a->wait_ns ? b : a;
}

uint32_t MixCall::add_send(MixSend plan, int64_t now_ns, MixActions& actions) {
  const auto number = static_cast<uint32_t>(sends_.size());
  plan.send = number;
  if (plan.origin == kNone) plan.origin = number;
  plan.deadline_ns = deadline_ns(plan, now_ns);
  actions.sends.push_back(plan);
  sends_.push_back({.plan = std::move(plan), .sent_ns = now_ns, .hedges = {}, .arrived = {}});
  ++waiting_;
  return number;
}

void MixCall::begin_again(uint32_t number, int64_t now_ns) {
  Sent& sent = sends_[number];
  sent.sent_ns = now_ns;
  sent.plan.deadline_ns = deadline_ns(sent.plan, now_ns);
}

int64_t MixCall::deadline_ns(const MixSend& plan, int64_t now_ns) const {
  const int64_t attempt = attempt_ns(plan);
  return settings_.deadline_ns - now_ns < attempt ? settings_.deadline_ns : now_ns + attempt;
}

int64_t MixCall::attempt_ns(const MixSend& plan) const {
  const int64_t longest = settings_.attempt_ns + std::ssize(plan.choices) * settings_.choice_ns;
  if (!patience_) return longest;
  return std::clamp(patience_(plan.to), std::min(settings_.attempt_ns_min, longest), longest);
}

// Nobody is left to serve these experts: the tokens' next best take their place, once for a token.
void MixCall::lose(std::vector<Choice> choices, uint32_t origin, int64_t now_ns, MixActions& actions) {
  if (!settings_.next_best || route_.runner_up.empty() || sends_.size() >= kSendsMax) return;
  runner_up_used_.resize(static_cast<size_t>(route_.tokens()), 0);
  std::vector<Choice> next;
  for (const Choice& choice : choices) {
    const int32_t token = token_[choice.choice];
    const int32_t expert = route_.runner_up[token];
    if (expert < 0 || runner_up_used_[token] != 0 || choice.expert != route_.expert[choice.choice]) continue;
    runner_up_used_[token] = 1;
    next.push_back({choice.choice, expert});
  }
  if (!next.empty()) assign(std::move(next), Way::next_expert, origin, now_ns, actions);
}

MixActions MixCall::on_reply(uint32_t number, std::span<const uint8_t> arrived, int64_t now_ns) {
  MixActions actions;
  Sent& sent = sends_[number];
  if (sent.phase != Phase::waiting) return actions;
  AGORA_CHECK_EQ(arrived.size(), sent.plan.choices.size());
  sent.arrived.assign(arrived.begin(), arrived.end());
  for (size_t i = 0; i < arrived.size(); ++i) {
    if (arrived[i] == 0) not_held_.emplace(sent.plan.to, sent.plan.experts[i]);
  }
  sent.phase = Phase::answered;
  --waiting_;
  if (sent.hedge_of == kNone) {
    accept(number, now_ns, actions);
    return actions;
  }
  // A hedge takes the first host's place with everything, or not at all.
  const bool whole = std::find(arrived.begin(), arrived.end(), 0) == arrived.end();
  if (!whole) sent.phase = Phase::failed;
  settle_hedges(sent.hedge_of, actions);
  return actions;
}

// All hedges of a host that still has not answered are here: they are the answer.
void MixCall::settle_hedges(uint32_t parent, MixActions& actions) {
  Sent& first = sends_[parent];
  for (const uint32_t h : first.hedges) {
    if (sends_[h].phase != Phase::answered) return;
  }
  drop(parent, actions);
  for (const uint32_t h : first.hedges) {
    sends_[h].hedge_of = kNone;
    for (const int32_t i : sends_[h].plan.choices) arrived_[i] = 1;
  }
}

void MixCall::accept(uint32_t number, int64_t now_ns, MixActions& actions) {
  for (const uint32_t h : sends_[number].hedges) drop(h, actions);
  const MixSend& plan = sends_[number].plan;
  std::vector<Choice> missing;
  for (size_t i = 0; i < plan.choices.size(); ++i) {
    if (sends_[number].arrived[i] != 0) {
      arrived_[plan.choices[i]] = 1;
    } else {
      missing.push_back({plan.choices[i], plan.experts[i]});
    }
  }
  if (missing.empty() || sends_.size() >= kSendsMax) return;
  assign(std::move(missing), way_after(plan.way), plan.origin, now_ns, actions);
}

void MixCall::drop(uint32_t number, MixActions& actions) {
  Sent& sent = sends_[number];
  if (sent.phase == Phase::waiting) {
    actions.cancels.push_back(number);
    --waiting_;
  }
  sent.phase = Phase::dropped;
}

MixActions MixCall::on_failure(uint32_t number, Failure failure, int64_t now_ns) {
  MixActions actions;
  Sent& sent = sends_[number];
  if (sent.phase != Phase::waiting) return actions;
  sent.phase = Phase::failed;
  --waiting_;
  if (failure != Failure::busy) gone_.insert(sent.plan.to);
  if (sent.hedge_of == kNone) go_on(number, failure, now_ns, actions);
  return actions;
}

// What a failed send leaves: its hedges stand on their own now, the rest goes elsewhere.
void MixCall::go_on(uint32_t number, Failure failure, int64_t now_ns, MixActions& actions) {
  const std::vector<uint32_t> hedges = sends_[number].hedges;
  const Way way = way_after(sends_[number].plan.way);
  std::vector<Choice> left = choices_of(sends_[number].plan);
  if (!hedges.empty()) left.clear();
  for (const uint32_t h : hedges) {
    sends_[h].hedge_of = kNone;
    if (sends_[h].phase == Phase::answered) {
      for (const int32_t i : sends_[h].plan.choices) arrived_[i] = 1;
    } else if (sends_[h].phase == Phase::failed) {
      for (const Choice& choice : choices_of(sends_[h].plan)) left.push_back(choice);
    }
  }
  if (left.empty() || sends_.size() >= kSendsMax) return;
  std::sort(left.begin(), left.end(), [](const Choice& a, const Choice& b) { return a.choice < b.choice; });
  const MixSend failed = sends_[number].plan;
  const bool busy = failure == Failure::busy;
  if (busy && (settings_.leader_first || !can_go_elsewhere(left, failed.to))) {
    return park(std::move(left), way, failed, now_ns);
  }
  if (failure == Failure::broken || budget_.may_retry()) {
    gone_.insert(failed.to);
    return assign(std::move(left), way, failed.origin, now_ns, actions);
  }
  if (busy || settings_.next_best) park(std::move(left), way, failed, now_ns);
}

bool MixCall::can_go_elsewhere(const std::vector<Choice>& choices, const peers::PeerId& than) {
  return std::ranges::all_of(choices, [&](const Choice& choice) {
    return choose(candidates_(choice.expert), choice.expert, &than) != nullptr;
  });
}

void MixCall::park(std::vector<Choice> choices, Way way, const MixSend& failed, int64_t now_ns) {
  int64_t& pause = pause_ns_.try_emplace(failed.to, settings_.pause_ns).first->second;
  parked_.push_back({std::move(choices), way, failed.origin, now_ns + pause});
  pause = std::min(2 * pause, settings_.pause_ns_max);
}

MixActions MixCall::on_timer(int64_t now_ns) {
  MixActions actions;
  if (done()) return actions;
  if (now_ns >= settings_.deadline_ns) {
    end(actions);
    return actions;
  }
  std::vector<Parked> rested;
  std::erase_if(parked_, [&](Parked& parked) {
    if (parked.when_ns > now_ns) return false;
    rested.push_back(std::move(parked));
    return true;
  });
  for (Parked& parked : rested) assign(std::move(parked.choices), parked.way, parked.origin, now_ns, actions);
  const auto before = static_cast<uint32_t>(sends_.size());
  for (uint32_t i = 0; i < before; ++i) {
    const Sent& sent = sends_[i];
    const bool slow = sent.phase == Phase::waiting && now_ns - sent.sent_ns >= settings_.hedge_ns;
    if (slow && !sent.hedged) hedge(i, now_ns, actions);
  }
  return actions;
}

// Only where all of the send can go elsewhere: a part would have to wait for the rest anyway.
void MixCall::hedge(uint32_t number, int64_t now_ns, MixActions& actions) {
  sends_[number].hedged = true;
  const MixSend slow = sends_[number].plan;
  std::map<int32_t, Candidate> host_of;
  for (const int32_t expert : slow.experts) {
    if (host_of.contains(expert)) continue;
    const std::vector<Candidate> candidates = candidates_(expert);
    const Candidate* other = choose(candidates, expert, &slow.to);
    if (other == nullptr) return;
    host_of.emplace(expert, *other);
  }
  if (sends_.size() >= kSendsMax || !budget_.may_hedge()) return;
  std::map<peers::PeerId, MixSend> plans;
  for (size_t i = 0; i < slow.choices.size(); ++i) {
    const Candidate& host = host_of.at(slow.experts[i]);
    MixSend& plan = plans[host.peer];
    plan.to = host.peer;
    plan.at = host.endpoint;
    plan.choices.push_back(slow.choices[i]);
    plan.experts.push_back(slow.experts[i]);
  }
  for (auto& [peer, plan] : plans) {
    plan.way = slow.way == Way::next_expert ? Way::next_expert : Way::hedge;
    plan.origin = slow.origin;
    const uint32_t added = add_send(std::move(plan), now_ns, actions);
    sends_[added].hedged = true;
    sends_[added].hedge_of = number;
    sends_[number].hedges.push_back(added);
  }
}

void MixCall::end(MixActions& actions) {
  for (uint32_t i = 0; i < sends_.size(); ++i) {
    if (sends_[i].phase == Phase::waiting) drop(i, actions);
  }
  // Hedges that came while the first host was still awaited are better than nothing.
  for (Sent& sent : sends_) {
    if (sent.phase != Phase::answered || sent.hedge_of == kNone) continue;
    sent.hedge_of = kNone;
    for (const int32_t i : sent.plan.choices) arrived_[i] = 1;
  }
  parked_.clear();
}

int64_t MixCall::timer_ns() const {
  if (done()) return INT64_MAX;
  int64_t when = settings_.deadline_ns;
  for (const Parked& parked : parked_) when = std::min(when, parked.when_ns);
  if (settings_.hedge_ns == INT64_MAX) return when;
  for (const Sent& sent : sends_) {
    if (sent.phase != Phase::waiting || sent.hedged) continue;
    when = std::min(when, sent.sent_ns + settings_.hedge_ns);
  }
  return when;
}

std::vector<uint32_t> MixCall::summands() const {
  std::vector<std::pair<int32_t, uint32_t>> by_expert;
  for (const Sent& sent : sends_) {
    if (sent.phase != Phase::answered || sent.hedge_of != kNone) continue;
    int32_t lowest = INT32_MAX;
    for (size_t i = 0; i < sent.arrived.size(); ++i) {
      if (sent.arrived[i] != 0) lowest = std::min(lowest, sent.plan.experts[i]);
    }
    if (lowest != INT32_MAX) by_expert.emplace_back(lowest, sent.plan.send);
  }
  std::sort(by_expert.begin(), by_expert.end());
  std::vector<uint32_t> sends;
  for (const auto& [expert, send] : by_expert) sends.push_back(send);
  return sends;
}

MixCall::Served MixCall::served() const {
  constexpr int64_t Served::*kByWay[] = {&Served::first, &Served::replica, &Served::hedge,
                                         &Served::next_expert};
  Served served;
  for (const Sent& sent : sends_) {
    if (sent.phase != Phase::answered || sent.hedge_of != kNone) continue;
    served.*kByWay[static_cast<size_t>(sent.plan.way)] +=
        std::count(sent.arrived.begin(), sent.arrived.end(), 1);
  }
  served.lost = static_cast<int64_t>(std::count(arrived_.begin(), arrived_.end(), 0));
  return served;
}

std::vector<MixCall::Choice> MixCall::choices_of(const MixSend& plan) const {
  std::vector<Choice> choices;
  for (size_t i = 0; i < plan.choices.size(); ++i) choices.push_back({plan.choices[i], plan.experts[i]});
  return choices;
}

}  // namespace agora::swarm
