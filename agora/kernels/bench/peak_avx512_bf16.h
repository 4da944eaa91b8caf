// The peak loop of AVX-512's bf16 dot product.
#pragma once

namespace agora::kernels {

double peak_avx512_bf16(const void* set, float* sink);

}  // namespace agora::kernels
