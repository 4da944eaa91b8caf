// Tables for every processor that Highway knows, built for several targets and chosen at run time.
#pragma once

#include <vector>

#include "agora/kernels/table.h"

namespace agora::kernels::cpu {

// The best first. Never empty: the last one runs anywhere.
std::vector<Table> portable_tables();

// The best of them with the processor's own rounding to bf16. Only where CpuFeatures says avx512_bf16.
Table native_rounding_table();

}  // namespace agora::kernels::cpu
