#include "agora/swarm/growth.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "agora/moe/gate/descriptor.h"

namespace agora::swarm {
namespace {

constexpr double kRampEnd = 1e-3;  // of kClosed: what the bias falls to before it is 0

}  // namespace

const Growth::Newcomer* Growth::find(ExpertName expert) const {
  const auto found = newcomers_.find(expert);
  return found == newcomers_.end() ? nullptr : &found->second;
}

// How far in it is says how long ago it came. Of the first experts only what is retired is closed.
void Growth::on_trunk(ExpertName expert, float entry_bias, int64_t step) {
  const bool closed = !(entry_bias > moe::kClosed);
  const bool first = expert.expert.value < experts_;
  if (closed && first) retired_.insert(expert);
  if (closed || first) return;
  const double left = std::clamp(entry_bias / moe::kClosed, 0.0f, 1.0f);
  const double done = left <= kRampEnd ? 1.0 : std::log(left) / std::log(kRampEnd);
  const auto age =
      config_.tied_steps + static_cast<int64_t>(std::round(done * static_cast<double>(config_.ramp_steps)));
  newcomers_[expert] = {.since_step = step - age, .source = {}, .loss_before = recent_loss()};
}

void Growth::on_census(Census census, int64_t step) {
  for (const ExpertName name : census.led) {
    if (name.expert.value < experts_ || census.retired.contains(name)) continue;
    const auto source = census.sources.find(name);
    newcomers_.try_emplace(
        name, Newcomer{.since_step = step,
                       .source = source == census.sources.end() ? std::nullopt
                                                                : std::optional<ExpertId>(source->second),
                       .loss_before = recent_loss()});
  }
  retired_.insert(census.retired.begin(), census.retired.end());
  std::erase_if(newcomers_, [&](const auto& entry) {
    const auto& [name, newcomer] = entry;
    if (retired_.contains(name)) return true;
    return !newcomer.undone && !in(newcomer, step) && !census.led.contains(name);
  });
}

std::optional<double> Growth::recent_loss() const {
  if (losses_.empty()) return std::nullopt;
  return std::reduce(losses_.begin(), losses_.end()) / static_cast<double>(losses_.size());
}

std::vector<ExpertName> Growth::on_validation(double loss, int64_t step, Decides decides,
                                              const std::set<ExpertName>& idle) {
  if (std::isfinite(loss)) losses_.push_back(loss);
  if (losses_.size() > config_.averaged) losses_.pop_front();
  for (auto& [name, newcomer] : newcomers_) {
    if (newcomer.undone || newcomer.watched >= config_.watched_after) continue;
    // Whom nobody asks, or was never compared, changes no loss yet.
    const bool closed = step <= newcomer.since_step + config_.tied_steps;
    const bool unasked = closed || idle.contains(name);
    if (unasked || !newcomer.loss_before) newcomer.loss_before = recent_loss();
    if (unasked) continue;
    // A loss that is not a number is worse than any.
    const bool worse = !(loss <= newcomer.loss_before.value_or(loss) * (1 + config_.worse_max));
    newcomer.failures = worse ? newcomer.failures + 1 : 0;
    // Balance may bring its rows only after the ramp.
    if (!worse && in(newcomer, step - config_.ramp_steps)) ++newcomer.watched;
  }
  return decides == Decides::yes ? undo_youngest() : std::vector<ExpertName>();
}

// The others get another chance without it.
std::vector<ExpertName> Growth::undo_youngest() {
  std::pair<const ExpertName, Newcomer>* youngest = nullptr;
  for (auto& entry : newcomers_) {
    if (entry.second.undone || entry.second.failures < config_.failures_max) continue;
    if (youngest == nullptr || entry.second.since_step > youngest->second.since_step) youngest = &entry;
  }
  if (youngest == nullptr) return {};
  youngest->second.undone = true;
  for (auto& [name, newcomer] : newcomers_) newcomer.failures = 0;
  return {youngest->first};
}

float Growth::bias(ExpertName expert, int64_t step) const {
  if (retired_.contains(expert)) return moe::kClosed;
  if (expert.expert.value < experts_) return 0.0f;
  const Newcomer* newcomer = find(expert);
  if (newcomer == nullptr || newcomer->undone) return moe::kClosed;
  const int64_t age = step - newcomer->since_step - config_.tied_steps;
  if (age <= 0) return moe::kClosed;
  if (age >= config_.ramp_steps) return 0.0f;
  const double done = static_cast<double>(age) / static_cast<double>(config_.ramp_steps);
  return static_cast<float>(moe::kClosed * std::pow(kRampEnd, done));
}

bool Growth::tied(ExpertName expert, int64_t step) const {
  const Newcomer* newcomer = find(expert);
  return newcomer != nullptr && !newcomer->undone && step <= newcomer->since_step + config_.tied_steps;
}

std::optional<ExpertId> Growth::source(ExpertName expert) const {
  const Newcomer* newcomer = find(expert);
  return newcomer == nullptr ? std::nullopt : newcomer->source;
}

bool Growth::undone(ExpertName expert) const {
  const Newcomer* newcomer = find(expert);
  return newcomer != nullptr && newcomer->undone;
}

bool Growth::watches(int64_t step) const {
  return std::ranges::any_of(newcomers_, [&](const auto& entry) {
    const Newcomer& newcomer = entry.second;
    return !newcomer.undone && newcomer.watched < config_.watched_after &&
           step > newcomer.since_step + config_.tied_steps;
  });
}

std::vector<ExpertName> Growth::to_retire() const {
  std::vector<ExpertName> bad;
  for (const auto& [name, newcomer] : newcomers_) {
    if (newcomer.undone) bad.push_back(name);
  }
  return bad;
}

}  // namespace agora::swarm
