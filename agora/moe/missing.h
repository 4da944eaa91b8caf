// What did not arrive is made good: a gate that normalises scales the arrived sum up to the whole weight.
//
//   std::vector<float> scale = missing_scale(route, arrived);  // [T] all weights / arrived weights, or empty
//   if (!scale.empty()) scale_rows(compute, scale, y, y);
//   if (!scale.empty()) missing_backward(route, arrived, scale, dweights);
//
// Any thread (values).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "agora/kernels/compute.h"
#include "agora/moe/route.h"
#include "agora/tensor/view.h"

namespace agora::moe {

// Factors for each token; empty where nothing is missing or the gate does not normalise: then sums stay as
// they are. A token with next to no arrived weight (a millionth of all) keeps factor 1: its sum is as good as
// 0, and stays it.
std::vector<float> missing_scale(const Route& route, std::span<const uint8_t> arrived);

// to[t] = scale[t] * from[t]; may be the same rows.
void scale_rows(const kernels::Compute& compute, std::span<const float> scale, tensor::View<const float> from,
                tensor::View<float> to);

// The factors depend on the weights too. dweights come in as the gradient by each arrived summand's weight
// (of the sum before scaling, with dy scaled) and go as the gradient by each weight of the route; a missing
// choice has one as well.
void missing_backward(const Route& route, std::span<const uint8_t> arrived, std::span<const float> scale,
                      std::span<float> dweights);

}  // namespace agora::moe
