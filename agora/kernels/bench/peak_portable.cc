#include "agora/kernels/bench/peak_portable.h"

#include "agora/kernels/bench/peak_loop.h"
#include "agora/kernels/highway_targets.h"

// The order of these is their meaning.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "agora/kernels/bench/peak_portable.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace agora::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

double PeakLoopOf(const void* set, float* sink) {
  const hn::CappedTag<float, 16> d;
  constexpr int64_t kRows = 6;
  constexpr int64_t kVectors = 2;
  constexpr auto kLanes = static_cast<int64_t>(hn::MaxLanes(d));
  constexpr int64_t kSteps = kPeakSetBytes / (4 * kLanes * kVectors);
  const float* weights = static_cast<const float*>(set);
  hn::Vec<decltype(d)> sum[kRows][kVectors];
  for (auto& row : sum) {
    for (auto& s : row) s = hn::Zero(d);
  }
  for (int64_t step = 0; step < kSteps; ++step) {
    const float* input = static_cast<const float*>(set) + step % 128 * 8;
    const auto b0 = hn::Load(d, weights + 2 * step * kLanes);
    const auto b1 = hn::Load(d, weights + (2 * step + 1) * kLanes);
    for (int64_t r = 0; r < kRows; ++r) {
      const auto a = hn::Set(d, input[r]);
      sum[r][0] = hn::MulAdd(a, b0, sum[r][0]);
      sum[r][1] = hn::MulAdd(a, b1, sum[r][1]);
    }
  }
  for (int64_t i = 0; i < kRows * kVectors; ++i)
    hn::StoreU(sum[i / kVectors][i % kVectors], d, sink + kLanes * i);
  return 2.0 * static_cast<double>(kLanes * kRows * kVectors * kSteps);
}

}  // namespace agora::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace agora::kernels {

HWY_EXPORT(PeakLoopOf);

double peak_portable(const void* set, float* sink) { return HWY_DYNAMIC_DISPATCH(PeakLoopOf)(set, sink); }

}  // namespace agora::kernels
#endif
