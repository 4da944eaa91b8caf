#include "agora/swarm/host/applied_updates.h"

#include <algorithm>
#include <charconv>

#include "agora/base/check.h"
#include "agora/base/text.h"

namespace agora::swarm {
namespace {

using base::concat;

// Words with a space between them.
class Words {
 public:
  explicit Words(std::string_view text) : left_(text) {}

  bool empty() const { return left_.empty(); }
  std::string_view next() {
    const size_t end = left_.find(' ');
    const std::string_view word = left_.substr(0, end);
    left_.remove_prefix(end == std::string_view::npos ? left_.size() : end + 1);
    const bool cut_short = end != std::string_view::npos && left_.empty();
    if (word.empty() || cut_short) ok_ = false;
    return word;
  }
  template <class T>
  T number() {
    const std::string_view word = next();
    T value{};
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size()) ok_ = false;
    return value;
  }
  bool ok() const { return ok_; }

 private:
  std::string_view left_;
  bool ok_ = true;
};

}  // namespace

bool AppliedUpdates::seen(const UpdateKey& key) const {
  const auto trainer = std::ranges::find(trainers_, key.trainer, &Trainer::peer);
  if (trainer == trainers_.end() || key.run > trainer->run) return false;
  if (key.run < trainer->run) return true;
  const Entry entry = entry_of(key);
  if (trainer->has_floor && entry <= trainer->floor) return true;
  return std::ranges::binary_search(trainer->known, entry);
}

// The key's run is the trainer's last one or later.
AppliedUpdates::Trainer& AppliedUpdates::trainer_of(const UpdateKey& key, size_t trainers_max) {
  const auto found = std::ranges::find(trainers_, key.trainer, &Trainer::peer);
  if (found != trainers_.end()) {
    std::rotate(found, found + 1, trainers_.end());
  } else {
    if (trainers_.size() >= trainers_max) trainers_.erase(trainers_.begin());
    trainers_.push_back({.peer = key.trainer, .run = key.run, .floor = {}, .known = {}});
  }
  Trainer& trainer = trainers_.back();
  if (trainer.run != key.run) trainer = {.peer = key.trainer, .run = key.run, .floor = {}, .known = {}};
  return trainer;
}

void AppliedUpdates::add(const UpdateKey& key, const AppliedLimits& limits) {
  AGORA_CHECK(!seen(key));
  Trainer& trainer = trainer_of(key, limits.trainers);
  std::vector<Entry>& known = trainer.known;
  const Entry entry = entry_of(key);
  known.insert(std::ranges::upper_bound(known, entry), entry);
  if (known.size() <= limits.keys_per_trainer) return;
  // A quarter at once: moving the rest down is then cheap on average.
  const size_t gone = limits.keys_per_trainer / 4 + 1;
  trainer.floor = known[gone - 1];
  trainer.has_floor = true;
  known.erase(known.begin(), known.begin() + static_cast<std::ptrdiff_t>(gone));
}

// ID RUN, then COUNT entries of STEP MICRO-BATCH LAYER PART, of which the first is the floor if FLOOR is 1.
void AppliedUpdates::append_to(std::string& text) const {
  const auto append = [&](const Entry& e) {
    text += concat(" ", e.step, " ", e.micro_batch, " ", e.layer.value, " ", e.part);
  };
  for (const Trainer& trainer : trainers_) {
    text += concat(" ", trainer.peer.text(), " ", trainer.run, " ", trainer.has_floor ? 1 : 0, " ",
                   trainer.known.size());
    if (trainer.has_floor) append(trainer.floor);
    for (const Entry& entry : trainer.known) append(entry);
  }
}

StatusOr<AppliedUpdates> AppliedUpdates::read(std::string_view text, const AppliedLimits& limits) {
  const auto refuse = [](std::string_view what) {
    return absl::InvalidArgumentError(concat("updates that were applied: ", what));
  };
  AppliedUpdates applied;
  Words words(text);
  const auto entry = [&] {
    return Entry{words.number<uint64_t>(), words.number<uint32_t>(), LayerId(words.number<int64_t>()),
                 words.number<uint32_t>()};
  };
  while (!words.empty()) {
    if (applied.trainers_.size() >= limits.trainers) return refuse("of more trainers than are kept");
    Trainer trainer;
    AGORA_ASSIGN_OR_RETURN(trainer.peer, peers::parse_peer_id(words.next()));
    if (std::ranges::find(applied.trainers_, trainer.peer, &Trainer::peer) != applied.trainers_.end()) {
      return refuse("a trainer comes twice");
    }
    trainer.run = words.number<uint64_t>();
    trainer.has_floor = words.number<int>() == 1;
    const auto count = words.number<size_t>();
    if (!words.ok() || count > limits.keys_per_trainer) return refuse("more of a trainer than are kept");
    if (trainer.has_floor) trainer.floor = entry();
    for (size_t i = 0; i < count && words.ok(); ++i) trainer.known.push_back(entry());
    if (!words.ok()) return refuse("expected ID RUN FLOOR COUNT and as many STEP MICRO-BATCH LAYER PART");
    const bool above = !trainer.has_floor || trainer.known.empty() || trainer.floor < trainer.known.front();
    if (!above || std::ranges::adjacent_find(trainer.known, std::greater_equal()) != trainer.known.end()) {
      return refuse("a trainer's must ascend");
    }
    applied.trainers_.push_back(std::move(trainer));
  }
  return applied;
}

}  // namespace agora::swarm
