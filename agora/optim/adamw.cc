#include "agora/optim/adamw.h"

namespace agora::optim {

void adamw_step(const kernels::Compute& compute, const AdamWSettings& settings, int64_t step,
                std::span<tensor::Parameter* const> parameters) {
  for (tensor::Parameter* p : parameters) {
    if (!p->trained()) continue;
    AdamWSettings own = settings;
    if (!p->decays()) own.weight_decay = 0.0f;
    kernels::adamw_step(compute, own, step, p->value.flat(), p->gradient.flat(), p->first.flat(),
                        p->second.flat());
  }
}

}  // namespace agora::optim
