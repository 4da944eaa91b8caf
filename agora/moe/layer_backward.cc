#include "agora/base/check.h"
#include "agora/moe/called.h"
#include "agora/moe/layer.h"
#include "agora/moe/missing.h"
#include "agora/moe/no_call.h"

namespace agora::moe {

Status MoeLayer::backward(const Compute& compute, View<const float> x, MoeSaved& saved, View<const float> dy,
                          View<float> dx, Deadline deadline) {
  AGORA_CHECK_EQ(x.rows, saved.route.tokens());
  AGORA_CHECK_EQ(dy.rows, x.rows);
  View<const float> dsum = dy;  // the gradient of the routed sum, before it was scaled
  if (!saved.scale.empty()) {
    scale_rows(compute, saved.scale, dy, saved.dsum.shape(dy.rows, dy.cols));
    dsum = saved.dsum.view();
  }

  std::vector<float> dcalled(static_cast<size_t>(count_called(config_.gate, saved.route)));
  AGORA_RETURN_IF_ERROR(experts_->mix_backward(saved.ticket, dsum, deadline, dx, dcalled));
  saved.ticket = {};

  std::vector<float> dweights(static_cast<size_t>(saved.route.choices()), 0.0f);
  spread_dweights(config_.gate, saved.route, dcalled, dweights);
  add_no_call_backward(compute, config_.gate, saved.route, x, constant_rows(), dsum, dweights, dx,
                       constants_ == nullptr ? View<float>() : constants_->gradient.view());
  if (!saved.scale.empty()) missing_backward(saved.route, saved.arrived, saved.scale, dweights);

  gate_.backward(compute, x, saved.route, saved.gate, dweights, saved.dlogits.view(), dx);
  if (shared_ != nullptr) shared_->backward(compute, x, saved.shared, dy, dx);
  return absl::OkStatus();
}

}  // namespace agora::moe
