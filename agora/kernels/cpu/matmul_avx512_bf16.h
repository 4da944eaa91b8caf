// The product of bf16 panels with AVX-512's dot product of pairs (vdpbf16ps). Only on processors that have
// it.
#pragma once

#include "agora/kernels/table.h"

namespace agora::kernels::cpu {

void product_avx512_bf16(const Block<bf16>& block);

}  // namespace agora::kernels::cpu
