#include "agora/kernels/cpu/matmul_amx.h"

#include "agora/kernels/cpu/amx_loop.h"
#include "agora/kernels/cpu/hardware_tiles.h"

namespace agora::kernels::cpu {

void product_amx(const Block<bf16>& block) {
  HardwareTiles tiles;
  product_on_tiles(block, tiles);
}

}  // namespace agora::kernels::cpu
