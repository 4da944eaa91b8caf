// The tables that exist for one kind of processor only. Each platform has its own file for it.
#pragma once

#include <vector>

#include "agora/kernels/table.h"

namespace agora::kernels {

// The best first. Empty where nothing beats the portable ones.
std::vector<Table> platform_tables(const CpuFeatures& features);

}  // namespace agora::kernels
