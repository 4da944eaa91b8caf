// Experts of which one is away: what its host's failure would do to the answers.
//
//   AbsentExperts without(*experts);   model.use_experts(without);
//   without.remove(LayerId{1}, ExpertId{3});      // its summands do not arrive any more
//   without.restore();
//
// Forward only: mix_backward() is refused. One thread at a time.
#pragma once

#include <vector>

#include "agora/moe/experts.h"

namespace agora::moe {

class AbsentExperts final : public Experts {
 public:
  explicit AbsentExperts(Experts& experts) : experts_(experts) {}

  void remove(LayerId layer, ExpertId expert) {
    layer_ = layer;
    expert_ = expert;
  }
  void restore() { expert_ = ExpertId{-1}; }

  StatusOr<MixResult> mix(LayerId layer, View<const float> x, const Route& route, Keep keep,
                          Deadline deadline, View<float> y) override;
  Status mix_backward(Ticket, View<const float>, Deadline, View<float>, std::span<float>) override;
  void release(Ticket ticket) override { experts_.release(ticket); }
  Status end_step(const StepSettings& settings) override { return experts_.end_step(settings); }
  void drop_gradients() override { experts_.drop_gradients(); }

 private:
  Experts& experts_;
  LayerId layer_;
  ExpertId expert_{-1};
  Route present_;  // scratch
};

}  // namespace agora::moe
