#include "agora/kernels/bench/peak_amx.h"
#include "agora/kernels/bench/peak_avx512_bf16.h"
#include "agora/kernels/bench/peak_loop.h"
#include "agora/kernels/bench/peak_portable.h"

namespace agora::kernels {

Peak peak_loop(const CpuFeatures& features) {
  if (features.amx_bf16) return {&peak_amx, "tdpbf16ps"};
  if (features.avx512_bf16) return {&peak_avx512_bf16, "vdpbf16ps"};
  return {&peak_portable, "f32 multiply-add"};
}

}  // namespace agora::kernels
