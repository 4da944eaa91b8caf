// Answers are what was computed, once each: no row lost, none added twice, and they say truly whose it was.
//
//   AnswersAddUp checker(world, verdict);
//
// Every row that an answer says it got is looked up among those that hosts computed: by host, expert, weight,
// version and the row's bits. Their sum must be the answer: bit by bit in exact mode, within the rounding of
// bf16 where partial sums travelled. What did not arrive is in neither, and in the lost mass. Rows are kept
// for kKeptNs. One thread.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "agora/sim/checkers/checker.h"

namespace agora::sim {

class AnswersAddUp final : public Checker {
 public:
  AnswersAddUp(const World& world, Verdict& verdict) : Checker("answers add up", verdict), world_(world) {}

  bool wants_computed() const override { return true; }
  void on_computed(const ComputedFact& fact) override;
  void on_answer(const AnswerFact& fact) override;

 private:
  static constexpr int64_t kKeptNs = 60 * kSecondNs;  // more than a question may take
  static constexpr size_t kWaysMax = 64;              // of one token's sum that are tried

  struct Computed {
    uint64_t version = 0;
    std::vector<float> entry;  // [D]
  };
  using Entries = std::vector<const Computed*>;

  // Everything but the version.
  static uint64_t key_of(PeerNumber host, LayerId layer, int32_t expert, float weight,
                         std::span<const float> row);
  void forget(int64_t before_ns);
  bool judge_choices(const AnswerFact& fact);
  void judge_mass(const AnswerFact& fact);
  // Those that could be the choice's entry: usually one. Empty: none, which is a violation.
  Entries computed_for(const AnswerFact& fact, int64_t token, size_t choice);
  void judge_token(const AnswerFact& fact, int64_t token);

  const World& world_;
  std::map<peers::PeerId, PeerNumber> numbers_;
  std::unordered_map<uint64_t, std::vector<Computed>> computed_;
  std::deque<std::pair<int64_t, uint64_t>> by_age_;  // (when, key)
};

}  // namespace agora::sim
