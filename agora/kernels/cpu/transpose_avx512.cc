#include "agora/kernels/cpu/transpose_avx512.h"

#include <immintrin.h>

namespace agora::kernels::cpu {

// Four rounds: pairs of rows exchange words, then pairs of words, then blocks of 4 words twice.
void transpose_words(const tensor::bf16* in, tensor::bf16* out, int64_t out_row) {
  constexpr int kEven = 0x88;  // blocks 0 and 2 of both inputs
  constexpr int kOdd = 0xdd;   // blocks 1 and 3
  __m512i a[16];
  __m512i b[16];
  for (int i = 0; i < 16; ++i) a[i] = _mm512_loadu_si512(in + i * 32);
  for (int i = 0; i < 16; i += 2) {
    b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
    b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
    a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
    a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
    a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    b[i] = _mm512_shuffle_i32x4(a[i], a[i + 4], kEven);
    b[i + 4] = _mm512_shuffle_i32x4(a[i], a[i + 4], kOdd);
    b[i + 8] = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], kEven);
    b[i + 12] = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], kOdd);
  }
  for (int i = 0; i < 8; ++i) {
    _mm512_storeu_si512(out + i * out_row, _mm512_shuffle_i32x4(b[i], b[i + 8], kEven));
    _mm512_storeu_si512(out + (i + 8) * out_row, _mm512_shuffle_i32x4(b[i], b[i + 8], kOdd));
  }
}

}  // namespace agora::kernels::cpu
