#include <cpuid.h>
#include <unistd.h>

#include <cstdint>

#include "agora/kernels/cpu_features.h"
#include <sys/syscall.h>

namespace agora::kernels {
namespace {

constexpr long kArchRequestXcompPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
constexpr unsigned kTileData = 18;                    // the state component of the tiles' contents

struct Leaf {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Leaf cpuid(unsigned leaf, unsigned subleaf) {
  Leaf r;
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
  return r;
}

bool bit(unsigned word, int n) { return ((word >> n) & 1u) != 0; }

// The register sets that the operating system saves (XCR0); 0 where it saves none.
uint64_t saved_state() {
  if (!bit(cpuid(1, 0).ecx, 27)) return 0;
  unsigned low = 0;
  unsigned high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t{high} << 32) | low;
}

}  // namespace

CpuFeatures cpu_features() {
  constexpr uint64_t kAvx512State = 0xe6;  // SSE, AVX, masks, both halves of the wide registers
  constexpr uint64_t kTileState = (uint64_t{1} << 17) | (uint64_t{1} << 18);
  const Leaf basic = cpuid(7, 0);
  const Leaf more = cpuid(7, 1);
  const uint64_t saved = saved_state();
  CpuFeatures features;
  const bool avx512 = bit(basic.ebx, 16) && bit(basic.ebx, 17) && bit(basic.ebx, 30) && bit(basic.ebx, 31);
  features.avx512_bf16 = avx512 && bit(more.eax, 5) && (saved & kAvx512State) == kAvx512State;
  const bool tiles = bit(basic.edx, 22) && bit(basic.edx, 24) && (saved & kTileState) == kTileState;
  features.amx_bf16 =
      features.avx512_bf16 && tiles && syscall(SYS_arch_prctl, kArchRequestXcompPermission, kTileData) == 0;
  return features;
}

}  // namespace agora::kernels
