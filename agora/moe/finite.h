// Finds the NaN or infinity that must not reach an expert.
//
//   if (int64_t bad = first_row_not_finite(compute, x); bad < x.rows) refuse(bad);
//
// Any thread.
#pragma once

#include "agora/kernels/compute.h"
#include "agora/tensor/view.h"

namespace agora::moe {

// x.rows when all are finite. Reads x once.
int64_t first_row_not_finite(const kernels::Compute& compute, tensor::View<const float> x);

}  // namespace agora::moe
