#include "agora/moe/layer.h"

#include <algorithm>

#include "agora/base/check.h"
#include "agora/moe/balance/losses.h"
#include "agora/moe/balance/probabilities.h"
#include "agora/moe/called.h"
#include "agora/moe/gate/explain.h"
#include "agora/moe/missing.h"
#include "agora/moe/no_call.h"

namespace agora::moe {
namespace {

void count_arrivals(const Route& called, std::span<const uint8_t> arrived, MoeStats& stats) {
  stats.choices = called.choices();
  for (int64_t t = 0; t < called.tokens(); ++t) {
    int64_t of_token = 0;
    for (int32_t i = called.first[t]; i < called.first[t + 1]; ++i) of_token += arrived[i];
    stats.choices_arrived += of_token;
    if (of_token == 0 && called.first[t + 1] > called.first[t]) ++stats.tokens_unserved;
  }
}

}  // namespace

StatusOr<MoeStats> MoeLayer::forward(const Compute& compute, View<const float> x, const MoeCall& call,
                                     Keep keep, View<float> y, MoeSaved& saved) {
  AGORA_CHECK_EQ(x.cols, config_.d);
  const Rng noise = call.rng.fork(static_cast<uint64_t>(layer_.value));
  AGORA_RETURN_IF_ERROR(gate_.route(compute, x, call.mode, noise, saved.route, saved.gate));
  saved.route.runner_up.clear();
  if (call.runner_up) name_runners_up(config_.gate, saved.gate, saved.route);

  const Route& called = called_part(config_.gate, saved.route, saved.called);
  AGORA_ASSIGN_OR_RETURN(const MixResult mixed, experts_->mix(layer_, x, called, keep, call.deadline, y));
  saved.ticket = mixed.ticket;
  spread_arrived(config_.gate, saved.route, mixed.arrived, saved.arrived);

  add_no_call(compute, config_.gate, saved.route, x, constant_rows(), y);
  saved.scale = missing_scale(saved.route, saved.arrived);
  if (!saved.scale.empty()) scale_rows(compute, saved.scale, y, y);
  if (shared_ != nullptr) shared_->forward(compute, x, keep, y, saved.shared);

  MoeStats stats;
  count_arrivals(called, mixed.arrived, stats);
  stats.loads = expert_loads(saved.route, config_.gate.candidates());
  stats.spread = load_spread(open_part(stats.loads, config_.gate.experts));
  stats.routing_entropy = routing_entropy(compute, config_.gate.score, saved.gate.logits.view());
  if (call.mode == GateMode::train) {
    for (size_t c = 0; c < loads_.size(); ++c) loads_[c] += stats.loads[c];
  }
  losses(compute, call, keep, saved, stats);
  return stats;
}

std::vector<int64_t> MoeLayer::open_part(std::span<const int64_t> loads, int64_t end) const {
  std::vector<int64_t> part;
  for (const int32_t c : gate_.open()) {
    if (c < end) part.push_back(loads[c]);
  }
  return part;
}

LoadSpread MoeLayer::spread() const { return load_spread(open_part(loads_, config_.gate.experts)); }

// Of the logits that the gate used, noise included. The gradient waits in saved.dlogits for backward().
void MoeLayer::losses(const Compute& compute, const MoeCall& call, Keep keep, MoeSaved& saved,
                      MoeStats& stats) {
  const View<const float> logits = saved.gate.logits.view();
  const View<float> dlogits = saved.dlogits.shape(keep == Keep::for_backward ? logits.rows : 0, logits.cols);
  std::fill_n(dlogits.data, dlogits.size(), 0.0f);

  const float aux = config_.aux_loss_coefficient * call.loss_scale;
  const Score score = config_.gate.score;
  if (aux != 0.0f && config_.aux_scope == AuxScope::sequence) {
    const int32_t whole[] = {0, static_cast<int32_t>(logits.rows)};
    stats.aux_loss = sequence_switch_loss(
        compute, score, logits, saved.route, saved.gate.candidate,
        call.sequence_first.empty() ? std::span<const int32_t>(whole) : call.sequence_first, aux, dlogits);
  } else if (aux != 0.0f) {
    const bool global = config_.aux_scope == AuxScope::global_batch && call.mode == GateMode::train;
    stats.aux_loss = switch_loss(
        compute, score, logits,
        load_shares(open_part(global ? loads_ : stats.loads, config_.gate.candidates())), aux, dlogits);
  }
  const float z = config_.z_loss_coefficient * call.loss_scale;
  if (z != 0.0f) stats.z_loss = router_z_loss(compute, logits, z, dlogits);
}

void MoeLayer::release(MoeSaved& saved) {
  experts_->release(saved.ticket);
  saved.ticket = {};
}

}  // namespace agora::moe
