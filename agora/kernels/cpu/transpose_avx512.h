// 16 x 16 words of 32 bits change rows for columns, with AVX-512.
#pragma once

#include <cstdint>

#include "agora/tensor/dtype.h"

namespace agora::kernels::cpu {

// A word is a pair of bf16. `in` is dense: 32 numbers a row; `out` has out_row numbers from row to row.
void transpose_words(const tensor::bf16* in, tensor::bf16* out, int64_t out_row);

}  // namespace agora::kernels::cpu
