// What a host has applied in its life, and what it answered.
//
//   if (ledger.seen(key)) { if (const AppliedReply* reply = ledger.reply(key)) answer(*reply); ... }
//   else { apply(); ledger.add(key, std::move(reply)); }
//
// Of calls: an expert knows its own updates besides, those of its earlier leaders too (expert_store.h). See
// applied_updates.h for what is remembered. Pure: no clock. One thread at a time.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "agora/swarm/host/applied_updates.h"
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

  bool seen(const UpdateKey& key) const { return applied_.seen(key); }
  // Not seen before.
  void add(const UpdateKey& key, AppliedReply reply);
  const AppliedReply* reply(const UpdateKey& key) const;  // null: forgotten

  // True the first time that this (trainer, run, step) or a later one ends.
  bool end_step(const UpdateKey& step);

 private:
  void remember(const UpdateKey& key, AppliedReply reply);

  LedgerLimits limits_;
  AppliedUpdates applied_, ended_;
  std::map<UpdateKey, AppliedReply> replies_;
  std::deque<UpdateKey> reply_order_;
  size_t reply_bytes_ = 0;
};

}  // namespace agora::swarm
