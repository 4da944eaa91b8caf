#include "agora/kernels/cpu/matmul_amx.h"
#include "agora/kernels/cpu/matmul_avx512_bf16.h"
#include "agora/kernels/cpu/pack_avx512.h"
#include "agora/kernels/cpu/portable.h"
#include "agora/kernels/platform_tables.h"

namespace agora::kernels {

std::vector<Table> platform_tables(const CpuFeatures& features) {
  std::vector<Table> tables;
  const auto add = [&](std::string_view name, void (*product)(const Block<bf16>&)) {
    tables.push_back(cpu::native_rounding_table());
    tables.back().name = name;
    tables.back().bf16_loops.product = product;
    tables.back().bf16_loops.pack_rows = &cpu::pack_rows_avx512;
    tables.back().bf16_loops.pack_step = &cpu::pack_step_avx512;
    tables.back().bf16_loops.pack_weight = &cpu::pack_weight_avx512;
  };
  if (features.amx_bf16) add("amx", &cpu::product_amx);
  if (features.avx512_bf16) add("avx512_bf16", &cpu::product_avx512_bf16);
  return tables;
}

}  // namespace agora::kernels
