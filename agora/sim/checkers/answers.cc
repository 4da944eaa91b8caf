#include "agora/sim/checkers/answers.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace agora::sim {

using base::concat;
using swarm::ServedBy;

namespace {

// A partial sum travels in bf16, rounded to nearest: 2^-9 of it. Parts of one host's may travel apart, so the
// bound is of the entries; the rest is for f32's own rounding.
constexpr double kPartialError = 1.0 / 256;
constexpr double kMassError = 1e-5;

std::string question_of(const AnswerFact& fact) {
  return concat("gate ", fact.peer, " question ", fact.question, fact.training ? " (training)" : " (exact)");
}

bool sums_to(const AnswerFact& fact, int64_t token, const std::vector<std::span<const float>>& entries) {
  for (int64_t d = 0; d < fact.y.cols; ++d) {
    float sum = 0;
    double size = 0;
    for (const std::span<const float> entry : entries) {
      sum += entry[d];
      size += std::abs(static_cast<double>(entry[d]));
    }
    const double error = std::abs(static_cast<double>(sum) - fact.y.row(token)[d]);
    if (!(error <= (fact.training ? kPartialError * size : 0.0))) return false;  // what is NaN is neither
  }
  return true;
}

}  // namespace

uint64_t AnswersAddUp::key_of(PeerNumber host, LayerId layer, int32_t expert, float weight,
                              std::span<const float> row) {
  uint64_t key = mix_bits(uint64_t{host} << 32 | static_cast<uint32_t>(expert));
  key = mix_bits(key ^ (static_cast<uint64_t>(layer.value) << 32 | std::bit_cast<uint32_t>(weight)));
  for (const float value : row) key = mix_bits(key ^ std::bit_cast<uint32_t>(value));
  return key;
}

void AnswersAddUp::on_computed(const ComputedFact& fact) {
  forget(fact.at_ns - kKeptNs);
  const moe::Route& route = *fact.route;
  for (int64_t t = 0; t < route.tokens(); ++t) {
    for (int32_t i = route.first[t]; i < route.first[t + 1]; ++i) {
      if (fact.arrived[i] == 0) continue;
      const uint64_t key =
          key_of(fact.peer, fact.layer, route.expert[i], route.weight[i], fact.x.row_span(t));
      const std::span<const float> entry = fact.entries.row_span(i);
      computed_[key].push_back({fact.version[i], {entry.begin(), entry.end()}});
      by_age_.emplace_back(fact.at_ns, key);
    }
  }
}

void AnswersAddUp::forget(int64_t before_ns) {
  while (!by_age_.empty() && by_age_.front().first < before_ns) {
    const auto found = computed_.find(by_age_.front().second);
    by_age_.pop_front();
    found->second.erase(found->second.begin());
    if (found->second.empty()) computed_.erase(found);
  }
}

void AnswersAddUp::on_answer(const AnswerFact& fact) {
  if (!fact.status.ok()) return;
  for (const std::unique_ptr<Peer>& peer : world_.peers()) numbers_.emplace(peer->id(), peer->number());
  judge_mass(fact);
  if (!judge_choices(fact)) return;
  for (int64_t t = 0; t < fact.route->tokens(); ++t) judge_token(fact, t);
}

void AnswersAddUp::judge_mass(const AnswerFact& fact) {
  double mass = 0, lost = 0;
  for (size_t i = 0; i < fact.arrived.size(); ++i) {
    mass += fact.route->weight[i];
    lost += fact.arrived[i] == 0 ? fact.route->weight[i] : 0.0f;
  }
  if (std::abs(mass - fact.mass) <= kMassError && std::abs(lost - fact.mass_lost) <= kMassError) return;
  violated(fact.at_ns, concat(question_of(fact), " to say that ", lost, " of ", mass, " was lost"),
           concat(fact.mass_lost, " of ", fact.mass));
}

// What it says of a choice agrees with itself.
bool AnswersAddUp::judge_choices(const AnswerFact& fact) {
  if (fact.arrived.size() != fact.route->expert.size() || fact.served.size() != fact.arrived.size()) {
    violated(fact.at_ns,
             concat(question_of(fact), ": a word for each of its ", fact.route->choices(), " choices"),
             concat(fact.arrived.size(), " and ", fact.served.size()));
    return false;
  }
  for (size_t i = 0; i < fact.arrived.size(); ++i) {
    const swarm::ServedChoice& served = fact.served[i];
    const bool somebody = served.by != ServedBy::nobody;
    if (somebody == (fact.arrived[i] != 0) && (!somebody || numbers_.contains(served.host))) continue;
    violated(fact.at_ns,
             concat(question_of(fact), " choice ", i, ": served by a host if it arrived, else by nobody"),
             concat("arrived ", static_cast<int>(fact.arrived[i]), ", served in way ",
                    static_cast<int>(served.by)));
    return false;
  }
  return true;
}

AnswersAddUp::Entries AnswersAddUp::computed_for(const AnswerFact& fact, int64_t token, size_t choice) {
  const swarm::ServedChoice& served = fact.served[choice];
  const PeerNumber host = numbers_.at(served.host);
  const auto found = computed_.find(
      key_of(host, fact.layer, served.expert.value, fact.route->weight[choice], fact.x.row_span(token)));
  Entries entries;
  std::string versions;
  if (found != computed_.end()) {
    for (const Computed& computed : found->second) {
      versions += concat(" ", computed.version);
      if (computed.version == served.version) entries.push_back(&computed);
    }
  }
  if (entries.empty()) {
    violated(fact.at_ns,
             concat(question_of(fact), " token ", token, ": that peer ", host, " computed ",
                    name_of({fact.layer, served.expert}), " at version ", served.version, ", as it says"),
             versions.empty() ? std::string("it never did") : concat("it did at versions", versions));
  }
  return entries;
}

// Where a host computed a row twice at one version - it may have stepped down in between - either may be it.
void AnswersAddUp::judge_token(const AnswerFact& fact, int64_t token) {
  std::vector<std::vector<std::span<const float>>> ways(1);
  for (int32_t i = fact.route->first[token]; i < fact.route->first[token + 1]; ++i) {
    if (fact.arrived[i] == 0) continue;
    const Entries entries = computed_for(fact, token, static_cast<size_t>(i));
    if (entries.empty()) return;
    std::vector<std::vector<std::span<const float>>> longer;
    for (const auto& way : ways) {
      for (const Computed* computed : entries) {
        if (longer.size() >= kWaysMax) break;
        longer.push_back(way);
        longer.back().emplace_back(computed->entry);
      }
    }
    ways = std::move(longer);
  }
  if (std::ranges::any_of(ways, [&](const auto& way) { return sums_to(fact, token, way); })) return;
  float sum = 0;
  for (const std::span<const float> entry : ways.front()) sum += entry[0];
  violated(fact.at_ns,
           concat(question_of(fact), " token ", token, ": the sum of ", ways.front().size(),
                  " rows that were computed for it, beginning with ", sum),
           concat(fact.y.row(token)[0]));
}

}  // namespace agora::sim
