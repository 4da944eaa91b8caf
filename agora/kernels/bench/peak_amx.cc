#include "agora/kernels/bench/peak_amx.h"

#include "agora/kernels/bench/peak_loop.h"
#include "agora/kernels/cpu/hardware_tiles.h"

namespace agora::kernels {

// 2 x 2 tiles of sums; each step reads two tiles of weights that nobody has read before and two of inputs
// from a part that stays close: the least traffic that eight tiles allow.
double peak_amx(const void* set, float* sink) {
  constexpr int64_t kTileBytes = 1024;
  constexpr int64_t kSteps = kPeakSetBytes / (2 * kTileBytes);
  constexpr int64_t kClose = 8;  // steps whose inputs are read again and again: 16 KiB
  const char* weights = static_cast<const char*>(set);
  cpu::HardwareTiles tiles;
  tiles.begin();
  for (int64_t step = 0; step < kSteps; ++step) {
    const char* inputs = weights + step % kClose * 2 * kTileBytes;
    tiles.load<4>(inputs, 64);
    tiles.load<5>(inputs + kTileBytes, 64);
    tiles.load<6>(weights + step * 2 * kTileBytes, 64);
    tiles.load<7>(weights + step * 2 * kTileBytes + kTileBytes, 64);
    tiles.multiply<0, 4, 6>();
    tiles.multiply<1, 4, 7>();
    tiles.multiply<2, 5, 6>();
    tiles.multiply<3, 5, 7>();
  }
  tiles.store<0>(sink, 64);
  tiles.store<1>(sink + 256, 64);
  tiles.store<2>(sink + 512, 64);
  tiles.store<3>(sink + 768, 64);
  tiles.end();
  return 2.0 * 4 * 16 * 16 * 32 * kSteps;
}

}  // namespace agora::kernels
