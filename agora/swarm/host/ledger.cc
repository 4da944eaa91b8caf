#include "agora/swarm/host/ledger.h"

#include <utility>

namespace agora::swarm {
namespace {

size_t bytes_of(const peers::Payload& answer) { return sizeof(UpdateKey) + answer.size(); }

}  // namespace

void Ledger::add(const UpdateKey& key, peers::Payload answer) {
  applied_.add(call_of(key), {limits_.keys_per_trainer, limits_.trainers});
  remember(key, std::move(answer));
}

void Ledger::remember(const UpdateKey& key, peers::Payload answer) {
  const size_t bytes = bytes_of(answer);
  if (bytes > limits_.answer_bytes) return;
  while (answer_bytes_ + bytes > limits_.answer_bytes) {
    const auto oldest = answers_.find(answer_order_.front());
    answer_order_.pop_front();
    answer_bytes_ -= bytes_of(oldest->second);
    answers_.erase(oldest);
  }
  if (!answers_.emplace(key, std::move(answer)).second) return;  // a forgotten trainer sent it again
  answer_order_.push_back(key);
  answer_bytes_ += bytes;
}

const peers::Payload* Ledger::answer(const UpdateKey& key) const {
  const auto found = answers_.find(key);
  return found == answers_.end() ? nullptr : &found->second;
}

bool Ledger::end_step(const UpdateKey& step) {
  if (ended_.seen(step)) return false;
  ended_.add(step, {.keys_per_trainer = 0, .trainers = limits_.trainers});
  return true;
}

}  // namespace agora::swarm
