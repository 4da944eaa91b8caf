// Which updates something has taken: each once, however often and late it is sent, in whatever order, as long
// as memory allows; what is too long ago to know is taken for taken.
//
//   AppliedUpdates applied;
//   if (!applied.seen(key)) { take(); applied.add(key, {.keys_per_trainer = 128, .trainers = 64}); }
//   std::string text;   applied.append_to(text);                     // travels with an expert
//   AGORA_ASSIGN_OR_RETURN(AppliedUpdates theirs, AppliedUpdates::read(text, limits));
//
// Of each trainer the last keys_per_trainer updates are known one by one, in the order (step, micro-batch,
// layer, part); earlier ones count as seen, and so does every earlier run. Bytes: 24 a key. When more
// trainers come than are kept, the one unheard of for longest is forgotten: only then could an old message of
// its be taken again. Pure: no clock. One thread at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agora/base/result.h"
#include "agora/swarm/host/held_experts.h"

namespace agora::swarm {

struct AppliedLimits {
  size_t keys_per_trainer = 0;  // 0: in order only, what is before the last one counts as seen
  size_t trainers = 1;
};

class AppliedUpdates {
 public:
  bool seen(const UpdateKey& key) const;
  // Not seen before.
  void add(const UpdateKey& key, const AppliedLimits& limits);

  // Words with a space before each; nothing if there is nothing.
  void append_to(std::string& text) const;
  // Of such words, without the first space. InvalidArgument: they are none, or more than the limits.
  static StatusOr<AppliedUpdates> read(std::string_view text, const AppliedLimits& limits);

  friend bool operator==(const AppliedUpdates&, const AppliedUpdates&) = default;

 private:
  struct Entry {
    uint64_t step = 0;
    uint32_t micro_batch = 0;
    LayerId layer;
    uint32_t part = 0;
    friend auto operator<=>(const Entry&, const Entry&) = default;
  };
  struct Trainer {
    peers::PeerId peer;
    uint64_t run = 0;
    bool has_floor = false;
    Entry floor;               // this one and all before it count as seen; only if has_floor
    std::vector<Entry> known;  // ascending, all above the floor
    friend bool operator==(const Trainer&, const Trainer&) = default;
  };
  static Entry entry_of(const UpdateKey& key) { return {key.step, key.micro_batch, key.layer, key.part}; }
  Trainer& trainer_of(const UpdateKey& key, size_t trainers_max);

  std::vector<Trainer> trainers_;  // the one heard of last is the last
};

}  // namespace agora::swarm
