#include "agora/swarm/averaging/averaging.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "agora/base/check.h"
#include "agora/swarm/averaging/averaging_state.h"
#include "agora/swarm/wire/method.h"

namespace agora::swarm {

void Averaging::State::serve() {
  shelf_.serve(transport_);
  transport_.serve(kAverage, [weak = weak_from_this()](std::shared_ptr<peers::IncomingCall> call) {
    const auto self = weak.lock();
    if (self == nullptr) return;
    self->loop_.post([self, call] { self->on_call(*call); });
  });
}

void Averaging::State::stop() {
  base::MutexLock lock(mutex_);
  stopped_ = true;
}

bool Averaging::State::stopped() const {
  base::MutexLock lock(mutex_);
  return stopped_;
}

AveragingCounters Averaging::State::counters() const {
  base::MutexLock lock(mutex_);
  return counters_;
}

// What the earlier process had learned is a share that may have gone into a round; the hash that others know
// it by went with that process.
void Averaging::State::start(TrunkSnapshot base, uint64_t rows, uint64_t steps, const TrunkLayout& trunk) {
  const uint64_t round = base.version.round;
  rows_ = rows;
  steps_ = steps;
  shares_.push_back({++last_share_, round, trunk.values(), rows, steps});
  loop_.post([self = shared_from_this(), number = last_share_, round] {
    self->own_[number] = {.owner = self->transport_.self(), .round = round};
  });
  start(std::move(base));
}

void Averaging::State::start(TrunkSnapshot first) {
  if (first.momentum.empty()) first.momentum.assign(first.values.size(), 0.0f);
  AGORA_CHECK_EQ(first.momentum.size(), first.values.size());
  learns_since_ = first.version.round;
  auto anchor = std::make_shared<const TrunkSnapshot>(std::move(first));
  {
    base::MutexLock lock(mutex_);
    anchor_ = latest_ = anchor;
    counters_.version = anchor->version;
  }
  shelf_.put(*anchor);
}

bool Averaging::State::step_done(uint64_t rows, uint64_t step, TrunkLayout& trunk) {
  rows_ += rows;
  ++steps_;
  const bool changed = take_latest(trunk);
  share(step, static_cast<uint64_t>(config_.steps_every), trunk);
  return changed;
}

bool Averaging::State::finish(uint64_t step, TrunkLayout& trunk) {
  const bool changed = take_latest(trunk);
  if (steps_ > 0) share(step, 1, trunk);
  return changed;
}

// What it learned since the last round goes into one, if there are so many steps of it or another trainer
// waits for it.
void Averaging::State::share(uint64_t step, uint64_t steps_min, const TrunkLayout& trunk) {
  std::shared_ptr<const TrunkSnapshot> base;
  {
    base::MutexLock lock(mutex_);
    AGORA_CHECK(anchor_ != nullptr && anchor_->values.size() == trunk.size());
    resting_ = false;
    if (in_round_ || (!wanted_ && steps_ < steps_min)) return;
    in_round_ = true;
    wanted_ = false;
    base = anchor_;
  }
  if (shares_.size() == kSharesMax) shares_.erase(shares_.begin());
  const Share& share =
      shares_.emplace_back(Share{++last_share_, base->version.round, trunk.values(), rows_, steps_});
  // It weighs as it would have, had a part of it come to each of the rounds that went by without it.
  const uint64_t rounds = base->version.round + 1 - learns_since_;
  const uint64_t weight = (rows_ + rounds - 1) / rounds;
  std::vector<std::byte> bytes(trunk.size() * sizeof(float));
  for (size_t n = 0; n < trunk.size(); ++n) {
    const float delta = base->values[n] - share.trunk[n];
    std::memcpy(bytes.data() + n * sizeof delta, &delta, sizeof delta);
  }
  loop_.post([self = shared_from_this(), base, delta = peers::Payload::own(std::move(bytes)),
              number = share.number, weight, step] { self->begin(base, delta, number, weight, step); });
}

// What the trainer learned since the share that counts was made, or since the last round that counted one,
// goes on top. A share that does not count yet moves along: it may count in a later trunk.
bool Averaging::State::take_latest(TrunkLayout& trunk) {
  std::shared_ptr<const TrunkSnapshot> old, latest;
  uint64_t counted = 0;
  {
    base::MutexLock lock(mutex_);
    if (latest_ == anchor_) return false;
    old = std::exchange(anchor_, latest_);
    latest = latest_;
    counted = std::exchange(counted_, 0);
  }
  Share in{.number = 0, .round = 0, .trunk = old->values, .rows = 0, .steps = 0};
  if (const auto share = std::ranges::find(shares_, counted, &Share::number); share != shares_.end()) {
    in = std::move(*share);
    shares_.erase(shares_.begin(), share + 1);
    learns_since_ = in.round + 1;
  }
  learns_since_ = std::min(learns_since_, latest->version.round);  // a fresher trunk may have fewer rounds
  const auto move_on = [&](std::vector<float>& values) {
    for (size_t n = 0; n < values.size(); ++n) values[n] = latest->values[n] + (values[n] - in.trunk[n]);
  };
  std::vector<float> values = trunk.values();
  move_on(values);
  trunk.set_values(values);
  rows_ -= in.rows;
  steps_ -= in.steps;
  for (Share& share : shares_) {
    move_on(share.trunk);
    share.rows -= in.rows;
    share.steps -= in.steps;
  }
  return true;
}

void Averaging::State::rest() {
  base::MutexLock lock(mutex_);
  resting_ = true;
}

bool Averaging::State::rests() const {
  base::MutexLock lock(mutex_);
  return resting_;
}

SinceRound Averaging::State::since_round() const {
  base::MutexLock lock(mutex_);
  return {.base = anchor_, .rows = rows_, .steps = steps_};
}

Averaging::Averaging(base::Loop& loop, peers::Transport& transport, peers::Directory& directory,
                     const AveragingConfig& config)
    : state_(std::make_shared<State>(loop, transport, directory, config)) {
  state_->serve();
}

Averaging::~Averaging() { state_->stop(); }

void Averaging::start(TrunkSnapshot first) { state_->start(std::move(first)); }

void Averaging::start(TrunkSnapshot base, uint64_t rows, uint64_t steps, const TrunkLayout& trunk) {
  state_->start(std::move(base), rows, steps, trunk);
}

bool Averaging::step_done(uint64_t rows, uint64_t step, TrunkLayout& trunk) {
  return state_->step_done(rows, step, trunk);
}

bool Averaging::take_latest(TrunkLayout& trunk) { return state_->take_latest(trunk); }

bool Averaging::finish(uint64_t step, TrunkLayout& trunk) { return state_->finish(step, trunk); }

void Averaging::rest() { state_->rest(); }

SinceRound Averaging::since_round() const { return state_->since_round(); }

AveragingCounters Averaging::counters() const { return state_->counters(); }

std::shared_ptr<const TrunkSnapshot> Averaging::latest() const { return state_->latest(); }

}  // namespace agora::swarm
