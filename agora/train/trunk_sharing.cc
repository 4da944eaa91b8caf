#include "agora/train/trunk_sharing.h"

#include <utility>

namespace agora::train {

TrunkSharing::TrunkSharing(base::Loop& loop, peers::Transport& transport, peers::Directory& directory,
                           const TrainOptions& options, bool synchronous, swarm::TrunkLayout& layout)
    : self_(transport.self()),
      steps_every_(static_cast<uint64_t>(options.average_every)),
      layout_(layout),
      shelf_(loop) {
  if (synchronous) {
    shelf_.serve(transport);
    return;
  }
  swarm::AveragingConfig averages;
  averages.steps_every = options.average_every;
  averages.outer = {.learning_rate = options.average_rate, .momentum = options.average_momentum};
  averages.layout = layout.digest();
  averages.learned = layout.learned();
  averaging_ = std::make_unique<swarm::Averaging>(loop, transport, directory, averages);
}

void TrunkSharing::begin_with(swarm::TrunkSnapshot first, uint64_t rows, uint64_t steps) {
  first.layout = layout_.digest();
  if (averaging_ != nullptr) return averaging_->start(std::move(first), rows, steps);
  rows_ = rows;
  shelf_.put(std::move(first));
}

bool TrunkSharing::step_done(uint64_t rows, uint64_t step, bool last) {
  if (averaging_ != nullptr) return averaging_->step_done(rows, step, layout_);
  rows_ += rows;
  if (last || step % steps_every_ == 0) hand_out(step);
  return false;
}

void TrunkSharing::hand_out(uint64_t step) {
  swarm::TrunkSnapshot own;
  const swarm::TrunkVersion before = counters().version;
  own.version = {before.round + 1, 1, self_, before.rows + std::exchange(rows_, 0)};
  own.step = step;
  own.layout = layout_.digest();
  own.values = layout_.values();
  shelf_.put(std::move(own));
}

swarm::AveragingCounters TrunkSharing::counters() const {
  if (averaging_ != nullptr) return averaging_->counters();
  const auto latest = shelf_.latest();
  return {.version = latest == nullptr ? swarm::TrunkVersion{} : latest->version};
}

bool TrunkSharing::take_latest() { return averaging_ != nullptr && averaging_->take_latest(layout_); }

void TrunkSharing::rest() {
  if (averaging_ != nullptr) averaging_->rest();
}

swarm::SinceRound TrunkSharing::since_round() const {
  if (averaging_ != nullptr) return averaging_->since_round();
  return {.base = shelf_.latest()};
}

}  // namespace agora::train
