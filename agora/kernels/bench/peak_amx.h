// The peak loop of AMX's bf16 tile product.
#pragma once

namespace agora::kernels {

double peak_amx(const void* set, float* sink);

}  // namespace agora::kernels
