#include "agora/swarm/growth.h"

#include <algorithm>

namespace agora::swarm {

void Growth::on_experts(LayerId layer, const std::vector<ExpertId>& led, int64_t step) {
  for (const ExpertId expert : led) {
    if (expert.value < experts_) continue;
    newcomers_.try_emplace({layer, expert}, Newcomer{.since_step = step, .loss_before = last_loss_});
  }
  // What was undone stays so: its host may only be restarting.
  std::erase_if(newcomers_, [&](const auto& entry) {
    return entry.first.layer == layer && !entry.second.undone &&
           !std::binary_search(led.begin(), led.end(), entry.first.expert);
  });
}

std::vector<ExpertName> Growth::on_validation(double loss, int64_t step) {
  last_loss_ = loss;
  std::pair<const ExpertName, Newcomer>* youngest = nullptr;
  for (auto& entry : newcomers_) {
    Newcomer& newcomer = entry.second;
    if (newcomer.undone || newcomer.watched >= config_.watched_after) continue;
    if (!newcomer.loss_before) newcomer.loss_before = loss;
    // A loss that is not a number is worse than any.
    const bool worse = !(loss <= *newcomer.loss_before * (1 + config_.worse_max));
    newcomer.failures = worse ? newcomer.failures + 1 : 0;
    if (!worse && step >= newcomer.since_step + config_.ramp_steps) ++newcomer.watched;
    if (newcomer.failures < config_.failures_max) continue;
    if (youngest == nullptr || newcomer.since_step > youngest->second.since_step) youngest = &entry;
  }
  if (youngest == nullptr) return {};
  youngest->second.undone = true;
  for (auto& [name, newcomer] : newcomers_)
    newcomer.failures = 0;  // the others get another chance without it
  return {youngest->first};
}

float Growth::bias(ExpertName expert, int64_t step) const {
  if (expert.expert.value < experts_) return 0.0f;
  const auto found = newcomers_.find(expert);
  if (found == newcomers_.end() || found->second.undone) return config_.bias_first;
  const int64_t age = std::clamp<int64_t>(step - found->second.since_step, 0, config_.ramp_steps);
  return config_.bias_first * (1.0f - static_cast<float>(age) / static_cast<float>(config_.ramp_steps));
}

bool Growth::undone(ExpertName expert) const {
  const auto found = newcomers_.find(expert);
  return found != newcomers_.end() && found->second.undone;
}

}  // namespace agora::swarm
