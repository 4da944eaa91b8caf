// The softmax of attention, forward and backward: what is done to a row of scores between the products.
//
// Included after hwy/highway.h, once per target. Any thread.
#if defined(AGORA_KERNELS_ATTENTION_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AGORA_KERNELS_ATTENTION_SOFTMAX_INL_H_
#undef AGORA_KERNELS_ATTENTION_SOFTMAX_INL_H_
#else
#define AGORA_KERNELS_ATTENTION_SOFTMAX_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <limits>

#include "agora/kernels/attention_plan.h"
#include "agora/kernels/vector_math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace agora::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, 16>;  // matrices here are padded to 16 columns

// The online softmax of one row: the greatest score so far and the sum of exponentials below it.
struct RowState {
  float greatest = -std::numeric_limits<float>::infinity();
  float sum = 0.0f;
};

HWY_INLINE float ExpOne(float x) {
  const hn::CappedTag<float, 1> d;
  return hn::GetLane(Exp(d, hn::Set(d, x)));
}

// Which of the keys from `first` on, one in each lane, are in `seen`. Masks, because a load over numbers that
// were just stored one by one would wait for them.
template <class D>
HWY_INLINE hn::Mask<D> Seen(D d, KeyRange seen, size_t first) {
  const auto key = hn::Iota(d, static_cast<float>(first));
  return hn::And(hn::Ge(key, hn::Set(d, static_cast<float>(seen.begin))),
                 hn::Lt(key, hn::Set(d, static_cast<float>(seen.end))));
}

// Turns the scores of a row's visible keys into exponentials below its greatest score, the others of the
// `cols` into 0, and brings what was summed before to the new scale.
HWY_INLINE void SoftmaxBlock(float* scores, size_t cols, KeyRange seen, float scale, RowState& state,
                             float* mixed, size_t width) {
  const Floats d;
  const size_t lanes = hn::Lanes(d);
  if (seen.begin == seen.end) {
    std::fill(scores, scores + cols, 0.0f);
    return;
  }
  const auto least = hn::Set(d, -std::numeric_limits<float>::infinity());
  auto greatest = least;
  for (size_t i = 0; i < cols; i += lanes) {
    greatest = hn::Max(greatest, hn::IfThenElse(Seen(d, seen, i), hn::LoadU(d, scores + i), least));
  }
  const float top = HWY_MAX(state.greatest, hn::GetLane(hn::MaxOfLanes(d, greatest)) * scale);
  const auto tops = hn::Set(d, top), scales = hn::Set(d, scale);
  auto sum = hn::Zero(d);
  for (size_t i = 0; i < cols; i += lanes) {
    const auto p =
        hn::IfThenElseZero(Seen(d, seen, i), Exp(d, hn::MulSub(hn::LoadU(d, scores + i), scales, tops)));
    sum = hn::Add(sum, p);
    hn::StoreU(p, d, scores + i);
  }
  float kept = 1.0f;
  if (top != state.greatest) {
    kept = ExpOne(state.greatest - top);
    const auto factor = hn::Set(d, kept);
    for (size_t i = 0; i < width; i += lanes)
      hn::StoreU(hn::Mul(hn::LoadU(d, mixed + i), factor), d, mixed + i);
  }
  state.greatest = top;
  state.sum = state.sum * kept + SumAcross(d, sum);
}

// A row's share of the values seen so far becomes its output, and its log_sum is kept if it is wanted.
HWY_INLINE void FinishRow(const AttentionPlan& plan, int64_t row, const RowState& state, const float* mixed,
                          View<float> out, View<float> log_sum) {
  const Floats d;
  const auto factor = hn::Set(d, state.sum == 0.0f ? 0.0f : 1.0f / state.sum);
  float* to = plan.of_row(out, row);
  ForEachVector(d, static_cast<size_t>(plan.shape.head_width), [&](size_t i, auto part) HWY_ATTR {
    Put(d, hn::Mul(Get(d, mixed + i, part), factor), to + i, part);
  });
  if (!log_sum.empty()) log_sum.row(plan.query(row))[plan.head(row)] = state.greatest + std::log(state.sum);
}

// From scores and dshares = dout . v^T to shares = exp(score * scale - log_sum) and the scores' gradient
// shares * (dshares - delta) * scale. Zero where the row does not see the key, to the end of the block.
HWY_INLINE void SoftmaxBackwardRow(float* shares, float* gradient, size_t cols, KeyRange seen, float scale,
                                   float log_sum, float delta) {
  const Floats d;
  const size_t lanes = hn::Lanes(d);
  const auto scales = hn::Set(d, scale), log_sums = hn::Set(d, log_sum), deltas = hn::Set(d, delta);
  for (size_t i = 0; i < cols; i += lanes) {
    const auto own = Seen(d, seen, i);
    const auto p = hn::IfThenElseZero(own, Exp(d, hn::MulSub(hn::LoadU(d, shares + i), scales, log_sums)));
    const auto g = hn::Mul(hn::Mul(p, scales), hn::Sub(hn::LoadU(d, gradient + i), deltas));
    hn::StoreU(p, d, shares + i);
    hn::StoreU(hn::IfThenElseZero(own, g), d, gradient + i);
  }
  for (size_t i = cols; i < static_cast<size_t>(kKeyBlock); i += lanes) {
    hn::StoreU(hn::Zero(d), d, shares + i);
    hn::StoreU(hn::Zero(d), d, gradient + i);
  }
}

// delta[row] = dout . out, for every row of the plan.
HWY_INLINE void OutputDots(const AttentionPlan& plan, View<const float> out, View<const float> dout,
                           float* delta) {
  const Floats d;
  for (int64_t row = 0; row < plan.rows(); ++row) {
    plan.fetch_row(out, row + kFetchAhead);
    const float* mixed = plan.of_row(out, row);
    const float* gradient = plan.of_row(dout, row);
    auto dot = hn::Zero(d);
    ForEachVector(d, static_cast<size_t>(plan.shape.head_width), [&](size_t i, auto part) HWY_ATTR {
      dot = hn::MulAdd(Get(d, mixed + i, part), Get(d, gradient + i, part), dot);
    });
    delta[row] = SumAcross(d, dot);
  }
}

}  // namespace agora::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
