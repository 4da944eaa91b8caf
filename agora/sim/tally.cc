#include "agora/sim/tally.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "agora/base/rng.h"
#include "agora/sim/checkers/lines.h"

namespace agora::sim {

// Bucket: the octave, and the three bits below the leading one.
void LatencyHistogram::add(int64_t ns) {
  const auto value = static_cast<uint64_t>(std::max<int64_t>(ns, 1));
  const int octave = std::bit_width(value) - 1;
  const uint64_t eighth = octave >= 3 ? (value >> (octave - 3)) & 7 : (value << (3 - octave)) & 7;
  ++buckets_[static_cast<size_t>(octave) * kPerOctave + eighth];
  ++count_;
  max_ns_ = std::max(max_ns_, ns);
}

int64_t LatencyHistogram::quantile_ns(double share) const {
  const auto wanted = static_cast<uint64_t>(std::ceil(share * static_cast<double>(count_)));
  uint64_t seen = 0;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (buckets_[i] == 0 || seen < wanted) continue;
    const auto octave = static_cast<int>(i) / kPerOctave;
    const auto middle = static_cast<int64_t>(2 * (8 + i % kPerOctave) + 1);  // in sixteenths of the octave
    return octave >= 4 ? middle << (octave - 4) : middle >> (4 - octave);
  }
  return 0;
}

ExpertCounts count_experts(World& world) {
  struct Copies {
    int64_t leaders = 0, replicas = 0;
  };
  std::map<swarm::ExpertName, Copies> experts;
  for (Peer* peer : world.hosts()) {
    if (!peer->alive()) continue;
    for (const auto& [name, held] : peer->host()->experts().held()) {
      Copies& copies = experts[name];
      copies.leaders += held.role == swarm::Role::leader ? 1 : 0;
      ++copies.replicas;
    }
  }
  ExpertCounts counts{.wanted = world.spec().layers * world.spec().experts};
  for (const auto& [name, copies] : experts) {
    counts.led += copies.leaders == 1 ? 1 : 0;
    counts.whole += copies.replicas >= world.spec().replicas ? 1 : 0;
  }
  counts.lost = std::max<int64_t>(0, counts.wanted - std::ssize(experts));
  return counts;
}

void Tally::on_life(const LifeFact& fact) {
  totals_.crashes += fact.kind == LifeFact::Kind::crashed ? 1 : 0;
  totals_.starts += fact.kind == LifeFact::Kind::started ? 1 : 0;
}

void Tally::on_answer(const AnswerFact& fact) {
  if (!fact.status.ok()) {
    ++totals_.failures;
    return;
  }
  ++totals_.answers;
  totals_.rows += static_cast<uint64_t>(fact.x.rows);
  totals_.answers_partly += fact.mass_lost > 0 ? 1 : 0;
  totals_.mass += fact.mass;
  totals_.mass_lost += fact.mass_lost;
  (fact.training ? totals_.training : totals_.interactive).add(fact.took_ns);
  lately_.add(fact.took_ns);
}

void Tally::on_gradient(const GradientFact& fact) {
  ++totals_.gradients;
  totals_.gradients_failed += fact.status.ok() && fact.lost == 0 ? 0 : 1;
}

void Tally::on_update(const UpdateFact& fact) {
  ++totals_.updates;
  if (!fact.taken) {
    totals_.updates_refused += fact.outcome == swarm::UpdateOutcome::Kind::repeated ? 0 : 1;
    return;
  }
  ++totals_.updates_taken;
  if (keys_.size() >= kKeysMax) return;
  const uint64_t expert = mix_bits(static_cast<uint64_t>(fact.expert.expert.value) + 1);
  totals_.updates_doubled += keys_.insert(name_of(fact.key) ^ expert).second ? 0 : 1;
}

void Tally::on_role(const RoleFact& fact) {
  if (fact.kind != RoleFact::Kind::led) return;
  ++totals_.leaders;
  uint64_t& best = version_led_[fact.expert];
  if (fact.version < best) {
    totals_.versions_lost += best - fact.version;
    totals_.experts_lost += fact.version == 0 ? 1 : 0;
  }
  best = fact.version;
}

void Tally::on_step(const StepFact& fact) {
  if (!fact.status.ok()) {
    ++totals_.steps_failed;
    return;
  }
  constexpr double kForgets = 1.0 / 32;
  if (totals_.steps++ == 0) totals_.loss_first = totals_.loss_last = fact.loss;
  totals_.loss_last += (fact.loss - totals_.loss_last) * kForgets;
  totals_.rounds = std::max(totals_.rounds, fact.round);
}

void Tally::sample(World& world) {
  Sample now{.at_ns = world.now_ns()};
  now.answers = totals_.answers - before_.answers;
  now.failures = totals_.failures - before_.failures;
  now.rows = totals_.rows - before_.rows;
  now.mass = totals_.mass - before_.mass;
  now.mass_lost = totals_.mass_lost - before_.mass_lost;
  now.p50_ns = lately_.quantile_ns(0.5);
  now.p99_ns = lately_.quantile_ns(0.99);
  now.bytes = world.network().counters().bytes - bytes_before_;
  rows_before_.resize(world.peers().size());
  uint64_t most = 0, all = 0, hosts = 0;
  for (const std::unique_ptr<Peer>& peer : world.peers()) {
    if (!peer->alive()) continue;
    ++now.peers_alive;
    HostRole* host = peer->host();
    if (host == nullptr) continue;
    // What the leaders have come to meanwhile: a later one may have less.
    for (const auto& [name, held] : host->experts().held()) {
      if (held.role != swarm::Role::leader) continue;
      uint64_t& best = version_led_[name];
      best = std::max(best, host->experts().version(name));
    }
    const uint64_t rows = host->service().counters().rows;
    uint64_t& before = rows_before_[peer->number()];
    const uint64_t done = rows >= before ? rows - before : rows;  // less: it has begun a new life
    before = rows;
    most = std::max(most, done);
    all += done;
    hosts += host->experts().held().empty() ? 0 : 1;
  }
  if (all > 0) now.load_max_over_mean = static_cast<double>(most * hosts) / static_cast<double>(all);
  samples_.push_back(now);
  before_ = totals_;
  bytes_before_ = world.network().counters().bytes;
  lately_ = {};
}

}  // namespace agora::sim
