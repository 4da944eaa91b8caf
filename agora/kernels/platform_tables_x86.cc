#include "agora/kernels/cpu/matmul_avx512_bf16.h"
#include "agora/kernels/platform_tables.h"

namespace agora::kernels {

std::vector<Table> platform_tables(const CpuFeatures& features, const Table& base) {
  std::vector<Table> tables;
  if (features.avx512_bf16) {
    Table table = base;
    table.name = "avx512_bf16";
    table.bf16_loops.product = &cpu::product_avx512_bf16;
    tables.push_back(table);
  }
  return tables;
}

}  // namespace agora::kernels
