// Which updates a host has applied: each once, however often it is sent, in whatever order, as long as memory
// allows; what is too long ago to know is taken for applied.
//
//   if (ledger.seen(key)) { if (const AppliedReply* reply = ledger.reply(key)) answer(*reply); ... }
//   else { apply(); ledger.add(key, std::move(reply)); }
//
// Of each trainer the last keys_per_trainer updates are known one by one, in the order (step, micro-batch,
// layer, part); earlier ones count as seen, and so does every earlier run. Bytes: 24 a key. When more
// trainers come than are kept, the one unheard of for longest is forgotten: only then could an old message of
// its be applied again. Pure: no clock. One thread at a time.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "agora/swarm/host/held_experts.h"

namespace agora::swarm {

struct LedgerLimits {
  size_t keys_per_trainer = 4096;
  size_t trainers = 256;
  size_t reply_bytes = size_t{16} << 20;  // remembered answers, the oldest go first
};

struct AppliedReply {
  std::vector<float> dx;  // [T * D]
  std::vector<float> dweights;
};

class Ledger {
 public:
  explicit Ledger(const LedgerLimits& limits = {}) : limits_(limits) {}

  bool seen(const UpdateKey& key) const;
  // Not seen before.
  void add(const UpdateKey& key, AppliedReply reply);
  const AppliedReply* reply(const UpdateKey& key) const;  // null: forgotten

  // True the first time that this (trainer, run, step) or a later one ends.
  bool end_step(const UpdateKey& step);

 private:
  struct Entry {
    uint64_t step = 0;
    uint32_t micro_batch = 0;
    LayerId layer;
    uint32_t part = 0;
    friend auto operator<=>(const Entry&, const Entry&) = default;
  };
  struct Trainer {
    uint64_t run = 0;
    std::vector<Entry> known;  // ascending, all above the floor
    Entry floor;               // this one and all before it count as seen; only if has_floor
    bool has_floor = false;
    std::optional<uint64_t> step_ended;  // the last
    uint64_t last_use = 0;
  };

  Trainer& trainer_of(const UpdateKey& key);
  void remember(const UpdateKey& key, AppliedReply reply);

  LedgerLimits limits_;
  std::map<peers::PeerId, Trainer> trainers_;
  uint64_t uses_ = 0;
  std::map<UpdateKey, AppliedReply> replies_;
  std::deque<UpdateKey> reply_order_;
  size_t reply_bytes_ = 0;
};

// 64 bits that name the key among an expert's last updates (SnapshotHead).
uint64_t hash_of(const UpdateKey& key);

}  // namespace agora::swarm
