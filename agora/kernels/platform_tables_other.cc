#include "agora/kernels/platform_tables.h"

namespace agora::kernels {

std::vector<Table> platform_tables(const CpuFeatures&) { return {}; }

}  // namespace agora::kernels
