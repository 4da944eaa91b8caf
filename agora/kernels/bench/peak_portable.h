// The peak loop of Highway's best target: f32 multiply-adds, which is what bf16 products cost there.
#pragma once

namespace agora::kernels {

double peak_portable(const void* set, float* sink);

}  // namespace agora::kernels
