// The rate of the best bf16 instruction: loops that do nothing but multiply what they read.
#pragma once

#include <cstdint>

#include "agora/kernels/cpu_features.h"

namespace agora::kernels {

// Reads `set` (kPeakSetBytes, 64-byte aligned) once and multiplies it; `sink` [1024] gets the sums. Returns
// operations done.
using PeakLoop = double (*)(const void* set, float* sink);
constexpr int64_t kPeakSetBytes = int64_t{1} << 20;

struct Peak {
  PeakLoop loop;
  const char* instruction;
};
Peak peak_loop(const CpuFeatures& features);

}  // namespace agora::kernels
