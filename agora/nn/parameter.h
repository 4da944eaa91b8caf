// Parameters of layers: the type (tensor/parameter.h) under this folder's name, and first values.
//
//   Parameter w = Parameter::matrix("model.layers.0.self_attn.q_proj.weight", 256, 256, Train::yes);
//   fill_normal(w, rng, 0.02f);
//
// One writer at a time.
#pragma once

#include <vector>

#include "agora/base/rng.h"
#include "agora/tensor/parameter.h"

namespace agora::nn {

using tensor::Parameter;
using tensor::ParameterView;
using tensor::Train;

// Normal numbers of mean 0 from the stream that rng forks for the parameter's name: the values do not depend
// on the order in which layers are built. rng does not advance.
void fill_normal(const ParameterView& parameter, const Rng& rng, float deviation);
void fill(const ParameterView& parameter, float value);

void zero_gradients(std::span<Parameter* const> parameters);

}  // namespace agora::nn
