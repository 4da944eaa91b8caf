#include "agora/kernels/cpu/portable.h"

#include "agora/kernels/highway_targets.h"

// The order of these is their meaning.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "agora/kernels/cpu/portable.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "agora/kernels/cpu/activation_portable-inl.h"
#include "agora/kernels/cpu/matmul_portable-inl.h"
#include "agora/kernels/cpu/pack_portable-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace agora::kernels::HWY_NAMESPACE {

template <class T, class Rounding>
Loops<T> LoopsOf() {
  return {
      .product = &Product<T>,
      .round = &Round<Rounding>,
      .pack_rows = &PackRows<Rounding, T>,
      .pack_step = &PackStep<Rounding>,
      .pack_weight = nullptr,
      .activation_forward = &ForwardActivation<Rounding, T>,
      .activation_backward = &BackwardActivation<Rounding, T>,
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

template <class Rounding>
Table TableWith() {
  return {.name = NameOf(),
          .bf16_loops = LoopsOf<bf16, Rounding>(),
          .f32_loops = LoopsOf<float, Rounding>(),
          .write_row = &WriteRow};
}

Table TableOf() { return TableWith<PlainRounding>(); }
Table NativeTableOf() { return TableWith<NativeRounding>(); }

}  // namespace agora::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace agora::kernels {

HWY_EXPORT(TableOf);
HWY_EXPORT(NativeTableOf);

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

Table native_rounding_table() { return HWY_DYNAMIC_DISPATCH(NativeTableOf)(); }

}  // namespace cpu
}  // namespace agora::kernels
#endif
