#include "agora/optim/sgd.h"

#include "agora/base/thread_pool.h"

namespace agora::optim {
namespace {

constexpr int64_t kNumbersOfPiece = 16384;  // 64 KiB of each array

}  // namespace

void sgd_step(const kernels::Compute& compute, const SgdSettings& settings,
              std::span<tensor::Parameter* const> parameters) {
  for (tensor::Parameter* p : parameters) {
    if (!p->trained()) continue;
    const float decay = p->decays() ? settings.weight_decay : 0.0f;
    compute.pool->run_ranges(p->value.size(), kNumbersOfPiece, [&](int64_t begin, int64_t end) {
      float* value = p->value.data();
      float* momentum = p->first.data();
      const float* gradient = p->gradient.data();
      for (int64_t i = begin; i < end; ++i) {
        const float g = settings.gradient_scale * gradient[i] + decay * value[i];
        momentum[i] = settings.momentum * momentum[i] + g;
        value[i] -=
            settings.learning_rate * (settings.nesterov ? g + settings.momentum * momentum[i] : momentum[i]);
      }
    });
  }
}

}  // namespace agora::optim
