#include "agora/kernels/cpu/pack_avx512.h"

#include <immintrin.h>

#include <algorithm>

#include "agora/kernels/table.h"
#include "agora/kernels/unroll.h"

namespace agora::kernels::cpu {
namespace {

constexpr int kWords = 16;                  // in a register
constexpr int64_t kLine = 2 * kPanelWidth;  // numbers of a cache line: one step of a panel

// The first n lanes, for n from below zero to beyond 16.
__mmask16 lanes(int64_t n) { return static_cast<__mmask16>((1U << std::clamp<int64_t>(n, 0, kWords)) - 1); }

// 16 numbers of each, rounded: those of `low` first.
__m512i rounded(__m512 low, __m512 high) {
  return (__m512i)_mm512_cvtne2ps_pbh(high, low);  // NOLINT: the intrinsics have no other way
}

void write_around(bf16* to, __m512i words) { _mm512_stream_si512(reinterpret_cast<__m512i*>(to), words); }

// 16 numbers rounded, in the lower half.
__m512i rounded(__m512 x) {
  return _mm512_castsi256_si512((__m256i)_mm512_cvtneps_pbh(x));  // NOLINT: as above
}

// Four rounds: pairs of rows exchange words, then pairs of words, then blocks of 4 words twice.
void transpose(__m512i (&a)[kWords]) {
  constexpr int kEven = 0x88;  // blocks 0 and 2 of both inputs
  constexpr int kOdd = 0xdd;   // blocks 1 and 3
  __m512i b[kWords];
  AGORA_UNROLL
  for (int i = 0; i < kWords; i += 2) {
    b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
    b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
  }
  AGORA_UNROLL
  for (int i = 0; i < kWords; i += 4) {
    a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
    a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
    a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
    a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
  }
  AGORA_UNROLL
  for (int i = 0; i < 4; ++i) {
    b[i] = _mm512_shuffle_i32x4(a[i], a[i + 4], kEven);
    b[i + 4] = _mm512_shuffle_i32x4(a[i], a[i + 4], kOdd);
    b[i + 8] = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], kEven);
    b[i + 12] = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], kOdd);
  }
  AGORA_UNROLL
  for (int i = 0; i < 8; ++i) {
    a[i] = _mm512_shuffle_i32x4(b[i], b[i + 8], kEven);
    a[i + 8] = _mm512_shuffle_i32x4(b[i], b[i + 8], kOdd);
  }
}

// Takes numbers of two registers in turn: 0 .. 15 of each, or 16 .. 31.
alignas(64) constexpr int16_t kInTurn[2][32] = {
    {0, 32, 1, 33, 2,  34, 3,  35, 4,  36, 5,  37, 6,  38, 7,  39,
     8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47},
    {16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53, 22, 54, 23, 55,
     24, 56, 25, 57, 26, 58, 27, 59, 28, 60, 29, 61, 30, 62, 31, 63}};

// Rows of f32, read as 16 rows of 32 columns, rounded. What is not there is zero.
struct Source {
  const float* w;
  int64_t row_stride;
  int64_t rows;
  int64_t columns;

  void read(int64_t column, __m512i (&words)[kWords]) const {
    const __mmask16 low = lanes(columns - column), high = lanes(columns - column - kWords);
    AGORA_UNROLL
    for (int64_t r = 0; r < kWords; ++r) {
      const float* from = w + std::min(r, rows - 1) * row_stride + column;
      const __mmask16 there = r < rows ? 0xffff : 0;
      words[r] = rounded(_mm512_maskz_loadu_ps(low & there, from),
                         _mm512_maskz_loadu_ps(high & there, from + kWords));
    }
  }
};

// 32 columns of all rows to the transposed product's panels: a step is a pair of rows.
void write_turned(const WeightRows<bf16>& rows, int64_t column, const __m512i (&words)[kWords]) {
  for (int half = 0; half < 2 && column + half * kPanelWidth < rows.columns; ++half) {
    const __m512i in_turn = _mm512_load_si512(kInTurn[half]);
    bf16* to = rows.turned + (column / kPanelWidth + half) * rows.turned_panel;
    AGORA_UNROLL
    for (int i = 0; i < kWords / 2; ++i) {
      if (i < rows.turned_steps) {
        write_around(to + i * kLine, _mm512_permutex2var_epi16(words[2 * i], in_turn, words[2 * i + 1]));
      }
    }
  }
}

}  // namespace

// A panel is the transpose of its rows in words, each a step.
void pack_rows_avx512(const float* w, int64_t row_stride, int64_t rows, int64_t columns, bf16* panel) {
  const Source source{w, row_stride, rows, columns};
  const int64_t steps = steps_of<bf16>(columns);
  for (int64_t s = 0; s < steps; s += kWords) {
    __m512i words[kWords];
    source.read(s * kStep<bf16>, words);
    transpose(words);
    AGORA_UNROLL
    for (int i = 0; i < kWords; ++i) {
      if (s + i < steps) _mm512_storeu_si512(panel + (s + i) * kLine, words[i]);
    }
  }
}

void pack_weight_avx512(const WeightRows<bf16>& rows) {
  const Source source{rows.w, rows.row_stride, rows.rows, rows.columns};
  const int64_t steps = steps_of<bf16>(rows.columns);
  for (int64_t s = 0; s < steps; s += kWords) {
    const int64_t column = s * kStep<bf16>;
    for (int64_t r = kWords; r < 2 * kWords; ++r) {
      _mm_prefetch(rows.w + r * rows.row_stride + column, _MM_HINT_T0);
      _mm_prefetch(rows.w + r * rows.row_stride + column + kWords, _MM_HINT_T0);
    }
    __m512i words[kWords];
    source.read(column, words);
    if (rows.turned != nullptr) write_turned(rows, column, words);
    transpose(words);
    AGORA_UNROLL
    for (int i = 0; i < kWords; ++i) {
      if (s + i < steps) write_around(rows.panel + (s + i) * kLine, words[i]);
    }
  }
  _mm_sfence();
}

void pack_step_avx512(const float* row0, const float* row1, float scale0, float scale1, int64_t columns,
                      bf16* out, int64_t panel_stride) {
  const __m512i in_turn = _mm512_load_si512(kInTurn[0]);
  const __m512 s0 = _mm512_set1_ps(scale0), s1 = _mm512_set1_ps(scale1);
  const __mmask16 second = row1 == nullptr ? 0 : 0xffff;
  if (row1 == nullptr) row1 = row0;
  for (int64_t c = 0; c < columns; c += kPanelWidth, out += panel_stride) {
    const __mmask16 there = lanes(columns - c);
    const __m512 low = _mm512_mul_ps(s0, _mm512_maskz_loadu_ps(there, row0 + c));
    const __m512 high = _mm512_mul_ps(s1, _mm512_maskz_loadu_ps(there & second, row1 + c));
    _mm512_storeu_si512(out, _mm512_permutex2var_epi16(rounded(low), in_turn, rounded(high)));
  }
}

void transpose_words(const bf16* in, bf16* out, int64_t out_row) {
  __m512i words[kWords];
  AGORA_UNROLL
  for (int i = 0; i < kWords; ++i) words[i] = _mm512_loadu_si512(in + i * 2 * kWords);
  transpose(words);
  AGORA_UNROLL
  for (int i = 0; i < kWords; ++i) _mm512_storeu_si512(out + i * out_row, words[i]);
}

}  // namespace agora::kernels::cpu
