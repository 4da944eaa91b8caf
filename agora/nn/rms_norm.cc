#include "agora/nn/rms_norm.h"

namespace agora::nn {

RmsNorm::RmsNorm(const std::string& name, int64_t width, float epsilon, Train train)
    : gain_(Parameter::vector(name + ".weight", width, train)), epsilon_(epsilon) {
  fill(gain_, 1.0f);
}

void RmsNorm::forward(const kernels::Compute& compute, tensor::View<const float> x, tensor::View<float> y,
                      std::span<float> inverse) const {
  kernels::rms_norm_forward(compute, x, gain_.value.flat(), epsilon_, y, inverse);
}

void RmsNorm::backward(const kernels::Compute& compute, tensor::View<const float> x,
                       std::span<const float> inverse, tensor::View<const float> dy, tensor::View<float> dx,
                       kernels::Write write) {
  AGORA_CHECK(gain_.trained());
  kernels::rms_norm_backward(compute, x, gain_.value.flat(), inverse, dy, dx, write, gain_.gradient.flat());
}

}  // namespace agora::nn
