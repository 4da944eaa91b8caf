// The product of bf16 panels on AMX's tile registers. Only on processors that have them, after cpu_features()
// has asked.
#pragma once

#include "agora/kernels/table.h"

namespace agora::kernels::cpu {

void product_amx(const Block<bf16>& block);

}  // namespace agora::kernels::cpu
