// What this processor can do, asked once and handed on as a value.
//
//   const CpuFeatures features = cpu_features();
//   const Table& table = best_table(features);
//
// Any thread. A value type.
#pragma once

namespace agora::kernels {

struct CpuFeatures {
  bool avx512_bf16 = false;  // AVX-512 F, BW, DQ, VL and the bf16 dot product, saved by the operating system
  bool amx_bf16 = false;     // tiles with bf16 products, and the operating system's permission to use them
};

// Looks at the processor. Where tiles exist it asks the operating system for leave to use them (Linux: once
// per process, asking again is harmless); without it the first tile instruction would end the process.
CpuFeatures cpu_features();

}  // namespace agora::kernels
