// The processor's tile registers (AMX) as cpu/amx_loop.h wants them. Included only by files built with
// -mamx-tile and -mamx-bf16.
#pragma once

#include <immintrin.h>

#include <atomic>
#include <cstdint>

#include "agora/kernels/cpu/pack_avx512.h"
#include "agora/tensor/dtype.h"

namespace agora::kernels::cpu {

// Eight tiles of 16 rows of 64 bytes. Constant data: g++ 12's _tile_loadconfig tells the compiler of 8 of the
// 64 bytes that it reads, so a configuration built on the stack may never be written.
struct TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);
alignas(64) inline constexpr TileConfig kTileConfig{};

// The intrinsics take the tile's number as a literal; templates need it as a parameter.
class HardwareTiles {
 public:
  void begin() { _tile_loadconfig(&kTileConfig); }
  void end() { _tile_release(); }

  // The intrinsics do not tell the compiler that they read memory.
  void written() { std::atomic_signal_fence(std::memory_order_seq_cst); }

  template <int N>
  void zero() {
    if constexpr (N == 0) _tile_zero(0);
    if constexpr (N == 1) _tile_zero(1);
    if constexpr (N == 2) _tile_zero(2);
    if constexpr (N == 3) _tile_zero(3);
  }

  template <int N>
  void load(const void* at, int64_t row_bytes) {
    if constexpr (N == 0) _tile_loadd(0, at, row_bytes);
    if constexpr (N == 1) _tile_loadd(1, at, row_bytes);
    if constexpr (N == 2) _tile_loadd(2, at, row_bytes);
    if constexpr (N == 3) _tile_loadd(3, at, row_bytes);
    if constexpr (N == 4) _tile_loadd(4, at, row_bytes);
    if constexpr (N == 5) _tile_loadd(5, at, row_bytes);
    if constexpr (N == 6) _tile_loadd(6, at, row_bytes);
    if constexpr (N == 7) _tile_loadd(7, at, row_bytes);
  }

  template <int N>
  void store(void* at, int64_t row_bytes) {
    if constexpr (N == 0) _tile_stored(0, at, row_bytes);
    if constexpr (N == 1) _tile_stored(1, at, row_bytes);
    if constexpr (N == 2) _tile_stored(2, at, row_bytes);
    if constexpr (N == 3) _tile_stored(3, at, row_bytes);
  }

  template <int C, int A, int B>
  void multiply() {
    if constexpr (C == 0) _tile_dpbf16ps(0, 4, 6);
    if constexpr (C == 1) _tile_dpbf16ps(1, 4, 7);
    if constexpr (C == 2) _tile_dpbf16ps(2, 5, 6);
    if constexpr (C == 3) _tile_dpbf16ps(3, 5, 7);
    static_assert(A == 4 + C / 2 && B == 6 + C % 2);
  }

  void transpose(const tensor::bf16* in, tensor::bf16* out, int64_t out_row) {
    transpose_words(in, out, out_row);
  }
};

}  // namespace agora::kernels::cpu
