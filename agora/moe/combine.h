// Adds each token's entries up, in an order that nothing but the route decides.
//
//   combine(compute, route, dispatch, {.experts = E, .parts = 1}, entries, y);
//
// The mirror of dispatch as well: the gradient of x is the same sum over the entries' gradients. Any thread.
#pragma once

#include "agora/kernels/compute.h"
#include "agora/moe/dispatch.h"
#include "agora/moe/route.h"
#include "agora/tensor/view.h"

namespace agora::moe {

using kernels::Compute;
using tensor::View;

// Float addition is not associative, so sums made on several hosts differ in the last bits from one sum. With
// parts > 1 expert e belongs to part e * parts / experts; each part adds its entries by itself, then the
// parts' sums are added in the order of the parts. That is bit for bit what `parts` hosts with these experts
// and a gate that adds their answers do.
struct SumOrder {
  int64_t experts = 0;
  int64_t parts = 1;
};

// entries [N, D] in the order of `dispatch`; y [T, D] is written whole: 0 where a token has no choice. Within
// a part a token's entries are added in ascending order of expert number, from 0.
void combine(const Compute& compute, const Route& route, const Dispatch& dispatch, const SumOrder& order,
             View<const float> entries, View<float> y);

}  // namespace agora::moe
