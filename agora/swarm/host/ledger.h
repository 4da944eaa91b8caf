// What a host has applied in its life, and what it answered.
//
//   if (const peers::Payload* answer = ledger.answer(key)) call.reply(*answer);     // once more
//   else if (!ledger.seen(key)) { apply(); ledger.add(key, std::move(answer)); }
//
// Of calls, each piece of a part by itself: an expert knows its own updates besides, those of its earlier
// leaders too (expert_store.h). See applied_updates.h for what is remembered. Pure: no clock. One thread at a
// time.
#pragma once

#include <cstdint>
#include <deque>
#include <map>

#include "agora/peers/transport/payload.h"
#include "agora/swarm/host/applied_updates.h"
#include "agora/swarm/host/held_experts.h"

namespace agora::swarm {

struct LedgerLimits {
  size_t keys_per_trainer = 4096;
  size_t trainers = 256;
  size_t answer_bytes = size_t{16} << 20;  // remembered answers, the oldest go first
};

class Ledger {
 public:
  explicit Ledger(const LedgerLimits& limits = {}) : limits_(limits) {}

  bool seen(const UpdateKey& key) const { return applied_.seen(call_of(key)); }
  // Not seen before.
  void add(const UpdateKey& key, peers::Payload answer);
  const peers::Payload* answer(const UpdateKey& key) const;  // null: forgotten, or not seen

  // True the first time that this (trainer, run, step) or a later one ends.
  bool end_step(const UpdateKey& step);

 private:
  // A piece is a part of its own here.
  static UpdateKey call_of(UpdateKey key) {
    key.part ^= key.piece;
    return key;
  }
  void remember(const UpdateKey& key, peers::Payload answer);

  LedgerLimits limits_;
  AppliedUpdates applied_, ended_;
  std::map<UpdateKey, peers::Payload> answers_;
  std::deque<UpdateKey> answer_order_;
  size_t answer_bytes_ = 0;
};

}  // namespace agora::swarm
