#include "agora/kernels/cpu/portable.h"

// Targets whose vectors have no size at compile time, and those that would double another one's code.
#define HWY_DISABLED_TARGETS \
  (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV | HWY_AVX3_DL | HWY_SSSE3)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "agora/kernels/cpu/portable.cc"
#include "agora/kernels/cpu/activation_portable-inl.h"
#include "agora/kernels/cpu/matmul_portable-inl.h"
#include "agora/kernels/cpu/pack_portable-inl.h"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace agora::kernels::HWY_NAMESPACE {

template <class T>
Loops<T> LoopsOf() {
  return {
      .product = &Product<T>,
      .round = &Round,
      .pack_rows = &PackRows<T>,
      .pack_step = &PackStep,
      .activation_forward = &ForwardActivation<T>,
      .activation_backward = &BackwardActivation<T>,
  };
}

std::string_view NameOf() {
  switch (HWY_TARGET) {
    case HWY_AVX3:
      return "portable_avx3";
    case HWY_AVX2:
      return "portable_avx2";
    case HWY_SSE4:
      return "portable_sse4";
    case HWY_NEON:
      return "portable_neon";
    default:
      return "portable_plain";
  }
}

Table TableOf() {
  return {
      .name = NameOf(), .bf16_loops = LoopsOf<bf16>(), .f32_loops = LoopsOf<float>(), .write_row = &WriteRow};
}

}  // namespace agora::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace agora::kernels {

HWY_EXPORT(TableOf);

namespace cpu {

std::vector<Table> portable_tables() {
  std::vector<Table> tables;
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::ChosenTarget chosen;
    chosen.Update(target);
    tables.push_back(HWY_DISPATCH_TABLE(TableOf)[chosen.GetIndex()]());
  }
  return tables;
}

}  // namespace cpu
}  // namespace agora::kernels
#endif
