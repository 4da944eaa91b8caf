// The gate's products are made in f32 whatever the precision of the rest.
//
//   router.forward(exact(compute), x, logits);
//
// Any thread (values).
#pragma once

#include "agora/kernels/compute.h"

namespace agora::moe {

inline kernels::Compute exact(kernels::Compute compute) {
  compute.precision = kernels::Precision::f32;
  return compute;
}

}  // namespace agora::moe
