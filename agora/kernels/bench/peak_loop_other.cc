#include "agora/kernels/bench/peak_loop.h"
#include "agora/kernels/bench/peak_portable.h"

namespace agora::kernels {

Peak peak_loop(const CpuFeatures&) { return {&peak_portable, "f32 multiply-add"}; }

}  // namespace agora::kernels
