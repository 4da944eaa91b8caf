#include "agora/nn/parameter.h"

#include <algorithm>

namespace agora::nn {

void fill_normal(const ParameterView& parameter, const Rng& rng, float deviation) {
  Rng own = rng.fork(parameter.name);
  for (float& x : parameter.value.flat()) x = deviation * own.normal();
}

void fill(const ParameterView& parameter, float value) { std::ranges::fill(parameter.value.flat(), value); }

void zero_gradients(std::span<Parameter* const> parameters) {
  for (Parameter* parameter : parameters) parameter->zero_gradient();
}

}  // namespace agora::nn
