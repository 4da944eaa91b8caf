#include "agora/swarm/averaging/averaging.h"

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

void Averaging::State::start(TrunkSnapshot first) {
  if (first.momentum.empty()) first.momentum.assign(first.values.size(), 0.0f);
  AGORA_CHECK_EQ(first.momentum.size(), first.values.size());
  auto anchor = std::make_shared<const TrunkSnapshot>(std::move(first));
  {
    base::MutexLock lock(mutex_);
    anchor_ = latest_ = anchor;
    counters_.version = anchor->version;
  }
  shelf_.put(*anchor);
}

bool Averaging::State::step_done(std::span<float> values, uint64_t rows, uint64_t step) {
  rows_ += rows;
  ++steps_;
  bool changed = false;
  std::shared_ptr<const TrunkSnapshot> base;
  {
    base::MutexLock lock(mutex_);
    AGORA_CHECK(anchor_ != nullptr && anchor_->values.size() == values.size());
    if (latest_ != anchor_) {
      const std::vector<float>& then = counted_ ? share_.trunk : anchor_->values;
      for (size_t n = 0; n < values.size(); ++n) values[n] = latest_->values[n] + (values[n] - then[n]);
      if (counted_) {
        rows_ -= share_.rows;
        steps_ -= share_.steps;
      }
      anchor_ = latest_;
      counted_ = false;
      changed = true;
    }
    if (in_round_ || (!wanted_ && steps_ < static_cast<uint64_t>(config_.steps_every))) return changed;
    in_round_ = true;
    wanted_ = false;
    base = anchor_;
  }
  share_ = {{values.begin(), values.end()}, rows_, steps_};
  std::vector<std::byte> bytes(values.size() * sizeof(float));
  for (size_t n = 0; n < values.size(); ++n) {
    const float delta = base->values[n] - values[n];
    std::memcpy(bytes.data() + n * sizeof delta, &delta, sizeof delta);
  }
  loop_.post([self = shared_from_this(), base, delta = peers::Payload::own(std::move(bytes)), rows = rows_,
              step] { self->begin(base, delta, rows, step); });
  return changed;
}

Averaging::Averaging(base::Loop& loop, peers::Transport& transport, peers::Directory& directory,
                     const AveragingConfig& config)
    : state_(std::make_shared<State>(loop, transport, directory, config)) {
  state_->serve();
}

Averaging::~Averaging() { state_->stop(); }

void Averaging::start(TrunkSnapshot first) { state_->start(std::move(first)); }

bool Averaging::step_done(std::span<float> values, uint64_t rows, uint64_t step) {
  return state_->step_done(values, rows, step);
}

AveragingCounters Averaging::counters() const { return state_->counters(); }

}  // namespace agora::swarm
