// Before a loop over a tile of registers: it is unrolled whole and early, or the compiler keeps the tile in
// memory.
//
//   AGORA_UNROLL
//   for (int r = 0; r < kRows; ++r) sum[r] = ...;      // up to 16 times round
#pragma once

#ifdef __clang__
#define AGORA_UNROLL _Pragma("unroll")
#else
#define AGORA_UNROLL _Pragma("GCC unroll 16")
#endif
