#include "agora/swarm/host/ledger.h"

#include <algorithm>

#include "agora/base/check.h"
#include "agora/base/rng.h"

namespace agora::swarm {
namespace {

size_t bytes_of(const AppliedReply& reply) {
  return sizeof(UpdateKey) + (reply.dx.size() + reply.dweights.size()) * sizeof(float);
}

}  // namespace

uint64_t hash_of(const UpdateKey& key) {
  uint64_t hash = std::hash<peers::PeerId>()(key.trainer);
  for (const uint64_t part : {key.run, key.step, uint64_t{key.micro_batch},
                              static_cast<uint64_t>(key.layer.value), uint64_t{key.part}}) {
    hash = mix_bits(hash ^ part);
  }
  return hash;
}

bool Ledger::seen(const UpdateKey& key) const {
  const auto found = trainers_.find(key.trainer);
  if (found == trainers_.end() || key.run > found->second.run) return false;
  const Trainer& trainer = found->second;
  if (key.run < trainer.run) return true;
  const Entry entry{key.step, key.micro_batch, key.layer, key.part};
  if (trainer.has_floor && entry <= trainer.floor) return true;
  return std::binary_search(trainer.known.begin(), trainer.known.end(), entry);
}

// The key's run is the trainer's last one or later.
Ledger::Trainer& Ledger::trainer_of(const UpdateKey& key) {
  if (trainers_.size() >= limits_.trainers && !trainers_.contains(key.trainer)) {
    trainers_.erase(std::min_element(trainers_.begin(), trainers_.end(), [](const auto& a, const auto& b) {
      return a.second.last_use < b.second.last_use;
    }));
  }
  Trainer& trainer = trainers_[key.trainer];
  if (trainer.run != key.run) {
    trainer = {};
    trainer.run = key.run;
  }
  trainer.last_use = ++uses_;
  return trainer;
}

void Ledger::add(const UpdateKey& key, AppliedReply reply) {
  AGORA_CHECK(!seen(key));
  Trainer& trainer = trainer_of(key);
  const Entry entry{key.step, key.micro_batch, key.layer, key.part};
  trainer.known.insert(std::upper_bound(trainer.known.begin(), trainer.known.end(), entry), entry);
  if (trainer.known.size() > limits_.keys_per_trainer) {
    // A quarter at once: moving the rest down is then cheap on average.
    const size_t gone = limits_.keys_per_trainer / 4 + 1;
    trainer.floor = trainer.known[gone - 1];
    trainer.has_floor = true;
    trainer.known.erase(trainer.known.begin(), trainer.known.begin() + static_cast<std::ptrdiff_t>(gone));
  }
  remember(key, std::move(reply));
}

void Ledger::remember(const UpdateKey& key, AppliedReply reply) {
  const size_t bytes = bytes_of(reply);
  if (bytes > limits_.reply_bytes) return;
  while (reply_bytes_ + bytes > limits_.reply_bytes) {
    const auto oldest = replies_.find(reply_order_.front());
    reply_order_.pop_front();
    reply_bytes_ -= bytes_of(oldest->second);
    replies_.erase(oldest);
  }
  if (!replies_.emplace(key, std::move(reply)).second) return;  // a forgotten trainer sent it again
  reply_order_.push_back(key);
  reply_bytes_ += bytes;
}

const AppliedReply* Ledger::reply(const UpdateKey& key) const {
  const auto found = replies_.find(key);
  return found == replies_.end() ? nullptr : &found->second;
}

bool Ledger::end_step(const UpdateKey& step) {
  const auto found = trainers_.find(step.trainer);
  if (found != trainers_.end() && step.run < found->second.run) return false;
  Trainer& trainer = trainer_of(step);
  if (trainer.step_ended.has_value() && step.step <= *trainer.step_ended) return false;
  trainer.step_ended = step.step;
  return true;
}

}  // namespace agora::swarm
