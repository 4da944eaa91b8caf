#include "agora/train/trunk_sharing.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "agora/base/text.h"

namespace agora::train {
namespace {

constexpr int64_t kLookNs = 50 * base::kMillisecondNs;  // between two looks at what others have made of it
constexpr int64_t kToldNs = 20 * base::kSecondNs;  // who hands out what is told by records, and seen late

}  // namespace

TrunkSharing::TrunkSharing(base::Loop& loop, peers::Transport& transport, peers::Directory& directory,
                           const TrainOptions& options, bool synchronous, swarm::TrunkLayout& layout)
    : loop_(loop),
      directory_(directory),
      self_(transport.self()),
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
  if (averaging_ != nullptr && rows > 0) return averaging_->start(std::move(first), rows, steps, layout_);
  if (averaging_ != nullptr) return averaging_->start(std::move(first));
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

Status TrunkSharing::settle(uint64_t step, int64_t timeout_ns, base::UntilStopped& until_stopped) {
  if (averaging_ == nullptr) return absl::OkStatus();
  const Status settled = wait_until(timeout_ns, until_stopped, [&] {
    averaging_->finish(step, layout_);
    return since_round().steps == 0;
  });
  averaging_->rest();
  if (settled.ok()) return settled;
  return base::about(absl::StrCat("the last ", since_round().steps, " steps are in no trunk yet"), settled);
}

Status TrunkSharing::hand_on(int64_t timeout_ns, base::UntilStopped& until_stopped) {
  const swarm::TrunkVersion last = counters().version;  // while others go on, so does its own
  const Status handed_on = wait_until(timeout_ns, until_stopped, [&] { return others_have(last); });
  return handed_on.ok() ? handed_on : base::about("nobody else has the last trunk yet", handed_on);
}

// A round may be under way that is without its last steps: they go into the next.
int64_t TrunkSharing::settle_ns_max() const {
  return 2 * swarm::round_ns_max(swarm::for_trunk({}, layout_.size()));
}

// Who is pulling an older trunk pulls the last one after that.
int64_t TrunkSharing::hand_on_ns_max() const {
  return kToldNs + 2 * swarm::for_trunk({}, layout_.size()).pull_ns;
}

// Records say rounds and rows.
bool TrunkSharing::others_have(const swarm::TrunkVersion& trunk) const {
  std::vector<swarm::TrunkSource> others = swarm::trunk_sources(directory_.records());
  std::erase_if(others, [&](const swarm::TrunkSource& source) { return source.peer == self_; });
  return others.empty() ||
         others.front().version >= swarm::TrunkVersion{.round = trunk.round, .rows = trunk.rows};
}

// Looks again and again.
Status TrunkSharing::wait_until(int64_t timeout_ns, base::UntilStopped& until_stopped,
                                const std::function<bool()>& is_so) const {
  const int64_t until_ns = loop_.now_ns() + timeout_ns;
  while (!is_so()) {
    if (loop_.now_ns() >= until_ns) return absl::DeadlineExceededError("the others take too long");
    if (!until_stopped.rest(kLookNs)) return absl::CancelledError("stopped while it waited for others");
  }
  return absl::OkStatus();
}

swarm::SinceRound TrunkSharing::since_round() const {
  if (averaging_ != nullptr) return averaging_->since_round();
  return {.base = shelf_.latest()};
}

}  // namespace agora::train
