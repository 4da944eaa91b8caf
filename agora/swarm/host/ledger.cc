#include "agora/swarm/host/ledger.h"

#include <utility>

namespace agora::swarm {
namespace {

size_t bytes_of(const AppliedReply& reply) {
  return sizeof(UpdateKey) + (reply.dx.size() + reply.dweights.size()) * sizeof(float);
}

}  // namespace

void Ledger::add(const UpdateKey& key, AppliedReply reply) {
  applied_.add(key, {limits_.keys_per_trainer, limits_.trainers});
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
  if (ended_.seen(step)) return false;
  ended_.add(step, {.keys_per_trainer = 0, .trainers = limits_.trainers});
  return true;
}

}  // namespace agora::swarm
