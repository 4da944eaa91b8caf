#include "agora/optim/adamw.h"

namespace agora::optim {

void adamw_step(const kernels::Compute& compute, const AdamWSettings& settings, int64_t step,
                std::span<tensor::Parameter* const> parameters) {
  adamw_step(compute, settings, step, tensor::views_of(parameters));
}

void adamw_step(const kernels::Compute& compute, const AdamWSettings& settings, int64_t step,
                std::span<const tensor::ParameterView> parameters) {
  for (const tensor::ParameterView& p : parameters) {
    if (!p.trained()) continue;
    AdamWSettings own = settings;
    if (!p.decays()) own.weight_decay = 0.0f;
    kernels::adamw_step(compute, own, step, p.value.flat(), p.gradient.flat(), p.first.flat(),
                        p.second.flat());
  }
}

}  // namespace agora::optim
