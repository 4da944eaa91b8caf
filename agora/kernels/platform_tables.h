// The tables that exist for one kind of processor only. Each platform has its own file for it.
#pragma once

#include <vector>

#include "agora/kernels/table.h"

namespace agora::kernels {

// The best first; each is `base` with other products. Empty where nothing beats `base`.
std::vector<Table> platform_tables(const CpuFeatures& features, const Table& base);

}  // namespace agora::kernels
