#include "agora/train/route_meter.h"

namespace agora::train {

void RouteMeter::begin(const model::Batch& batch) {
  batch_ = &batch;
  sequences_.clear();
  for (const int32_t domain : batch.domains) sequences_.push_back(meter_.add_sequence(domain));
}

void RouteMeter::observe(LayerId layer, const moe::MoeSaved& saved) {
  const bool tokens = !batch_->tokens.empty();
  for (int64_t t = 0; t < saved.route.tokens(); ++t) {
    const auto row = static_cast<size_t>(t);
    if (tokens && batch_->targets[row] == model::kNoTarget) continue;
    choices_.clear();
    for (int32_t i = saved.route.first[row]; i < saved.route.first[row + 1]; ++i) {
      choices_.push_back({ExpertId{saved.route.expert[static_cast<size_t>(i)]},
                          saved.route.weight[static_cast<size_t>(i)]});
    }
    const SequenceId sequence = sequences_[static_cast<size_t>(t / batch_->length)];
    meter_.observe(layer, sequence, tokens ? batch_->tokens[row] : kNoToken, choices_);
  }
}

}  // namespace agora::train
