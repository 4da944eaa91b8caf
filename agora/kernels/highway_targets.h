// Which of Highway's targets are compiled: the plain one, SSE4, AVX2, AVX-512 and NEON. Included before
// hwy/foreach_target.h. Each target costs build time: SSSE3 is left out (processors with SSSE3 and no SSE4
// are of 2006), and AVX3_DL, which adds nothing to f32. SVE and RVV are left out because their vectors have
// no size at compile time, so the register tiles here (arrays of vectors) can not be said.
#pragma once

#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
