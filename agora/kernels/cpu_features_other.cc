#include "agora/kernels/cpu_features.h"

namespace agora::kernels {

CpuFeatures cpu_features() { return {}; }

}  // namespace agora::kernels
