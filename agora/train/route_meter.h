// Feeds what the gates decide, batch after batch, to a SpecialisationMeter.
//
//   RouteMeter routes(meter);   pass.observer = &routes;
//   routes.begin(batch);        model.evaluate(pass, batch, {}, {});
//
// Rows without a target do not count: they are padding. One thread at a time.
#pragma once

#include <vector>

#include "agora/model/batch.h"
#include "agora/model/block.h"
#include "agora/train/specialisation_meter.h"

namespace agora::train {

class RouteMeter final : public model::RouteObserver {
 public:
  explicit RouteMeter(SpecialisationMeter& meter) : meter_(meter) {}

  // The batch must outlive the pass through the model that follows.
  void begin(const model::Batch& batch);
  void observe(LayerId layer, const moe::MoeSaved& saved) override;

 private:
  SpecialisationMeter& meter_;
  const model::Batch* batch_ = nullptr;
  std::vector<SequenceId> sequences_;
  std::vector<ExpertWeight> choices_;
};

}  // namespace agora::train
