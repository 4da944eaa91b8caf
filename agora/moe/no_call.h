// Experts that need no call: zero (y += 0), copy (y += w x), constant (y += w c), numbered behind the E that
// do.
//
//   add_no_call(compute, gate, route, x, constants, y);
//   add_no_call_backward(compute, gate, route, x, constants, dy, dweights, dx, dconstants);
//
// LongCat-Flash 2025 (zero, copy), MoE++ 2024 (all three). Summands are added in ascending order of number.
// Any thread.
#pragma once

#include <span>

#include "agora/kernels/compute.h"
#include "agora/moe/gate/descriptor.h"
#include "agora/moe/route.h"
#include "agora/tensor/view.h"

namespace agora::moe {

using kernels::Compute;
using tensor::View;

// x, y [T, D]; constants [constant_experts, D]. Choices below gate.experts are passed over.
void add_no_call(const Compute& compute, const GateDescriptor& gate, const Route& route, View<const float> x,
                 View<const float> constants, View<float> y);

// Writes dweights of its own choices only; adds to dx and to dconstants (empty: not trained).
void add_no_call_backward(const Compute& compute, const GateDescriptor& gate, const Route& route,
                          View<const float> x, View<const float> constants, View<const float> dy,
                          std::span<float> dweights, View<float> dx, View<float> dconstants);

}  // namespace agora::moe
