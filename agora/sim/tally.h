// Counts what happened in a run: how much was answered, how fast, what was lost; in all and over time.
//
//   Tally tally;   histories.add(tally);   ...   tally.sample(world);   // every second or so
//   tally.totals().answers   tally.samples()
//
// Memory does not grow with the number of answers: latencies go into a histogram of 8 buckets an octave, so a
// quantile is right to within 5 %. All numbers are integers until they are printed. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <unordered_set>
#include <vector>

#include "agora/sim/history.h"
#include "agora/sim/world.h"

namespace agora::sim {

class LatencyHistogram {
 public:
  void add(int64_t ns);
  uint64_t count() const { return count_; }
  int64_t quantile_ns(double share) const;  // 0 without any
  int64_t max_ns() const { return max_ns_; }

 private:
  static constexpr int kPerOctave = 8;
  std::array<uint64_t, 64 * kPerOctave> buckets_{};
  uint64_t count_ = 0;
  int64_t max_ns_ = 0;
};

// Since the last sample, where nothing else is said.
struct Sample {
  int64_t at_ns = 0;
  uint64_t answers = 0, failures = 0, rows = 0;
  int64_t p50_ns = 0, p99_ns = 0;
  double mass = 0, mass_lost = 0;
  int64_t peers_alive = 0;        // now
  uint64_t bytes = 0;             // all peers
  double load_max_over_mean = 0;  // rows that hosts computed, of those that hold experts now; 0: nothing
};

struct Totals {
  uint64_t answers = 0, failures = 0, rows = 0;
  uint64_t answers_partly = 0;  // with some mass lost
  double mass = 0, mass_lost = 0;
  LatencyHistogram interactive, training;
  uint64_t gradients = 0, gradients_failed = 0;
  uint64_t updates = 0;          // experts' gradients that came to a host
  uint64_t updates_taken = 0;    // and were taken
  uint64_t updates_refused = 0;  // too old, or not by a leader
  uint64_t updates_doubled =
      0;                 // one key, one expert, taken twice: by a line of leaders that knew of it or not
  uint64_t leaders = 0;  // leaderships begun
  uint64_t versions_lost = 0;  // steps that a new leader did not have
  uint64_t experts_lost = 0;   // led from first weights though they had been trained
  uint64_t crashes = 0, starts = 0;
  uint64_t steps = 0, steps_failed = 0;  // of trainers
  double loss_first = 0, loss_last = 0;  // nats a token; the last: a mean that forgets
  uint64_t rounds = 0;                   // of averaging: the freshest trunk's
};

// Of the spec's experts, now.
struct ExpertCounts {
  int64_t wanted = 0;
  int64_t led = 0, whole = 0;  // by one leader; with all replicas
  int64_t lost = 0;            // held by nobody alive
};
ExpertCounts count_experts(World& world);

class Tally final : public History {
 public:
  void on_life(const LifeFact& fact) override;
  void on_answer(const AnswerFact& fact) override;
  void on_gradient(const GradientFact& fact) override;
  void on_update(const UpdateFact& fact) override;
  void on_role(const RoleFact& fact) override;
  void on_step(const StepFact& fact) override;

  void sample(World& world);
  const Totals& totals() const { return totals_; }
  const std::vector<Sample>& samples() const { return samples_; }

 private:
  static constexpr size_t kKeysMax = size_t{1} << 20;  // of updates that are looked at for doubles

  Totals totals_, before_;
  LatencyHistogram lately_;
  std::vector<Sample> samples_;
  std::unordered_set<uint64_t> keys_;  // (key, expert) taken
  std::map<swarm::ExpertName, uint64_t> version_led_;
  std::vector<uint64_t> rows_before_;  // by peer
  uint64_t bytes_before_ = 0;
};

}  // namespace agora::sim
