// A trunk as it travels between peers: all its numbers one after the other, with a version.
//
//   TrunkLayout layout(model.parameters(), model.selection_biases());
//   TrunkSnapshot snapshot{.layout = layout.digest(), .values = layout.values()};
//   Payload p = encode(snapshot);   AGORA_ASSIGN_OR_RETURN(TrunkSnapshot s, read_trunk(bytes));
//   AGORA_RETURN_IF_ERROR(layout.load(s));                               // then model.repack()
//
// 4 bytes a number, twice that with the outer momentum, and at most 8 KiB besides. One thread at a time.
#pragma once

#include <compare>
#include <cstdint>
#include <span>
#include <vector>

#include "agora/base/bytes.h"
#include "agora/base/result.h"
#include "agora/peers/peer_id.h"
#include "agora/peers/transport/payload.h"
#include "agora/tensor/parameter.h"
#include "agora/weights/hash.h"

namespace agora::swarm {

class MessageWriter;

// Where peers lost sight of each other there may be two trunks: the one that has learned from more rows is
// the fresher, however many rounds that took; of equal ones the one of more rounds, then the one that more
// trainers made, then the one of the lower decider. A total order in which each round goes up, so that all
// of them end on the same trunk.
struct TrunkVersion {
  uint64_t round = 0;  // rounds of averaging that it has seen; 0: first weights, drawn from the swarm's seed
  uint32_t contributors = 0;
  peers::PeerId decider = {};
  uint64_t rows = 0;  // that its contributions have learned from, in all rounds
  friend bool operator==(const TrunkVersion&, const TrunkVersion&) = default;
  friend std::strong_ordering operator<=>(const TrunkVersion& a, const TrunkVersion& b) {
    if (const auto order = a.rows <=> b.rows; order != 0) return order;
    if (const auto order = a.round <=> b.round; order != 0) return order;
    if (const auto order = a.contributors <=> b.contributors; order != 0) return order;
    return b.decider <=> a.decider;
  }
};

constexpr size_t kTrunkVersionBytes = 8 + 4 + 32 + 8;
void put_version(const TrunkVersion& version, MessageWriter& out);
bool read_trunk_version(base::ByteReader& in, TrunkVersion* version);  // false: too short

constexpr size_t kContributorsMax = 64;  // to a round
constexpr uint64_t kTrunkNumbersMax = uint64_t{1} << 31;
constexpr uint64_t kTrunkHeadBytesMax = 8 << 10;

// The last contribution of a trainer that is in a trunk.
struct LastContribution {
  peers::PeerId owner;
  weights::Digest hash{};  // of the delta
  uint64_t round = 0;      // that it grew from
  friend bool operator==(const LastContribution&, const LastContribution&) = default;
};

struct TrunkSnapshot {
  TrunkVersion version;
  uint64_t step = 0;  // of the trainer that made it: where its schedule is
  // Each trainer's, those of the last round first, at most kContributorsMax: who was away while rounds went
  // by sees whether its own was counted.
  std::vector<LastContribution> contributions;
  weights::Digest layout{};
  std::vector<float> values;
  std::vector<float> momentum;  // of the outer optimizer; as long as values, or empty

  uint64_t bytes() const { return 4 * (values.size() + momentum.size()) + kTrunkHeadBytesMax; }
};

peers::Payload encode(const TrunkSnapshot& snapshot);
// InvalidArgument: not a trunk, lengths that do not fit, more than a limit. Numbers may be anything: load()
// looks.
StatusOr<TrunkSnapshot> read_trunk(base::Bytes bytes);

class TrunkLayout {
 public:
  // Borrowed: they must outlive the layout. `learned` are moved by optimizers, `steered` (selection biases)
  // not.
  TrunkLayout(std::vector<tensor::Parameter*> learned, const std::vector<tensor::Parameter*>& steered);

  size_t size() const { return size_; }        // numbers in all
  size_t learned() const { return learned_; }  // of which so many come first
  const weights::Digest& digest() const { return digest_; }

  std::vector<float> values() const;
  void set_values(std::span<const float> values);  // size() of them
  // FailedPrecondition: a trunk of another model; DataLoss: a number that is not finite. Nothing is changed
  // then.
  Status load(const TrunkSnapshot& snapshot);

  // What AdamW keeps of what is learned: learned() numbers each. They do not travel.
  std::vector<float> first_moments() const;
  std::vector<float> second_moments() const;
  // FailedPrecondition: another model's.
  Status load_moments(std::span<const float> first, std::span<const float> second);

 private:
  using Numbers = tensor::Buffer<float> tensor::Parameter::*;
  // What a parameter has not (steered ones have no moments) takes no place.
  std::vector<float> in_order(Numbers of, size_t count) const;
  void put(Numbers of, std::span<const float> numbers);

  std::vector<tensor::Parameter*> parameters_;
  size_t size_ = 0;
  size_t learned_ = 0;
  weights::Digest digest_{};
};

}  // namespace agora::swarm
