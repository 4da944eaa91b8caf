// Packing into panels with AVX-512 and its rounding to bf16. Only on processors that have AVX512-BF16.
//
// Rounding is the processor's own: nearest, ties to even, numbers below 2^-126 to zero. Any thread.
#pragma once

#include <cstdint>

#include "agora/kernels/table.h"
#include "agora/tensor/dtype.h"

namespace agora::kernels::cpu {

// As Loops<bf16> says (kernels/table.h).
void pack_rows_avx512(const float* w, int64_t row_stride, int64_t rows, int64_t columns, tensor::bf16* panel);
void pack_step_avx512(const float* row0, const float* row1, float scale0, float scale1, int64_t columns,
                      tensor::bf16* out, int64_t panel_stride);
// Fetches the rows that follow in memory, and writes around the caches.
void pack_weight_avx512(const WeightRows<tensor::bf16>& rows);

// 16 x 16 words of 32 bits, each a pair of bf16, change rows for columns. `in` is dense: 32 numbers a row;
// `out` has out_row numbers from row to row.
void transpose_words(const tensor::bf16* in, tensor::bf16* out, int64_t out_row);

}  // namespace agora::kernels::cpu
