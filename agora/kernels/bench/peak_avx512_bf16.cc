#include "agora/kernels/bench/peak_avx512_bf16.h"

#include <immintrin.h>

#include <cstdint>

#include "agora/kernels/bench/peak_loop.h"

namespace agora::kernels {

// 24 sums; each step reads 4 vectors that nobody has read before, and 6 inputs from a small part that stays
// close: the least traffic that 32 registers allow, so this is the rate that a product of large matrices can
// reach.
double peak_avx512_bf16(const void* set, float* sink) {
  constexpr int kRows = 6;
  constexpr int kVectors = 4;
  constexpr int64_t kSteps = kPeakSetBytes / (64 * kVectors);
  const char* weights = static_cast<const char*>(set);
  __m512 sum[kRows][kVectors];
  for (auto& row : sum) {
    for (__m512& s : row) s = _mm512_setzero_ps();
  }
  for (int64_t step = 0; step < kSteps; ++step) {
    const char* input = static_cast<const char*>(set) + step % 128 * 32;
    __m512i b[kVectors];
    for (int v = 0; v < kVectors; ++v) b[v] = _mm512_load_si512(weights + (step * kVectors + v) * 64);
    for (int r = 0; r < kRows; ++r) {
      const __m512i a = _mm512_set1_epi32(*reinterpret_cast<const int*>(input + 4 * r));
      for (int v = 0; v < kVectors; ++v) sum[r][v] = _mm512_dpbf16_ps(sum[r][v], (__m512bh)a, (__m512bh)b[v]);
    }
  }
  for (int i = 0; i < kRows * kVectors; ++i) _mm512_storeu_ps(sink + 16 * i, sum[i / kVectors][i % kVectors]);
  return 2.0 * 32 * kRows * kVectors * kSteps;
}

}  // namespace agora::kernels
