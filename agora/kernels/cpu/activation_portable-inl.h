// Activations of the experts' feed-forward, forward and backward. Included once per target by
// cpu/portable.cc.
//
// Every number is computed by the same operations whatever its place in a row or a batch.
#if defined(AGORA_KERNELS_CPU_ACTIVATION_PORTABLE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AGORA_KERNELS_CPU_ACTIVATION_PORTABLE_INL_H_
#undef AGORA_KERNELS_CPU_ACTIVATION_PORTABLE_INL_H_
#else
#define AGORA_KERNELS_CPU_ACTIVATION_PORTABLE_INL_H_
#endif

#include "agora/kernels/cpu/pack_portable-inl.h"
#include "agora/kernels/table.h"
#include "agora/kernels/vector_math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace agora::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using DA = hn::CappedTag<float, static_cast<size_t>(kPanelWidth)>;
using VA = hn::Vec<DA>;
constexpr int64_t kVectorWidth = static_cast<int64_t>(hn::MaxLanes(DA()));

HWY_INLINE VA Sigmoid(VA x) {
  const DA d;
  const VA one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, Exp(d, hn::Neg(x))));
}

// A value and its derivative.
struct Slope {
  VA value;
  VA slope;
};

HWY_INLINE Slope Silu(VA x) {
  const VA one = hn::Set(DA(), 1.0f);
  const VA s = Sigmoid(x);
  const VA value = hn::Mul(x, s);
  return {value, hn::MulAdd(value, hn::Sub(one, s), s)};
}

// 0.5 x (1 + tanh(c (x + 0.044715 x^3))), c = sqrt(2 / pi), written as x * sigmoid(2 c (x + 0.044715 x^3)).
HWY_INLINE Slope Gelu(VA x) {
  const DA d;
  const VA one = hn::Set(d, 1.0f);
  const VA two_c = hn::Set(d, 1.5957691216f);
  const VA square = hn::Mul(x, x);
  const VA inner = hn::Mul(x, hn::MulAdd(hn::Set(d, 0.044715f), square, one));
  const VA s = Sigmoid(hn::Mul(two_c, inner));
  const VA value = hn::Mul(x, s);
  const VA inner_slope = hn::Mul(two_c, hn::MulAdd(hn::Set(d, 3.0f * 0.044715f), square, one));
  return {value, hn::MulAdd(hn::Mul(value, hn::Sub(one, s)), inner_slope, s)};
}

template <Activation kActivation>
HWY_INLINE Slope Activate(VA x) {
  const DA d;
  if constexpr (kActivation == Activation::gelu) {
    return Gelu(x);
  } else if constexpr (kActivation == Activation::relu) {
    const VA zero = hn::Zero(d);
    return {hn::Max(x, zero), hn::IfThenElseZero(hn::Gt(x, zero), hn::Set(d, 1.0f))};
  } else {
    return {x, hn::Set(d, 1.0f)};
  }
}

template <class Rounding, Activation kActivation, class T>
void ForwardRow(const ActivationForward<T>& work, const float* pre, T* saved, T* hidden) {
  const DA d;
  constexpr int64_t kPerHidden = kActivation == Activation::swiglu ? 2 : 1;
  for (int64_t c = 0; c < work.panels * kPanelWidth; c += kVectorWidth) {
    const int64_t at = (c - c % kPanelWidth) * kPerHidden + c % kPanelWidth;
    VA x = hn::LoadU(d, pre + at);
    if constexpr (kActivation == Activation::swiglu) {
      const VA up = hn::LoadU(d, pre + at + kPanelWidth);
      if (saved != nullptr) StoreRounded<Rounding>(d, x, saved + at);
      if (saved != nullptr) StoreRounded<Rounding>(d, up, saved + at + kPanelWidth);
      StoreRounded<Rounding>(d, hn::Mul(Silu(x).value, up), hidden + c);
    } else {
      if (work.bias != nullptr) x = hn::Add(x, hn::LoadU(d, work.bias + c));
      if (saved != nullptr) StoreRounded<Rounding>(d, x, saved + at);
      StoreRounded<Rounding>(d, Activate<kActivation>(x).value, hidden + c);
    }
  }
}

template <class Rounding, Activation kActivation, class T>
void ForwardRows(const ActivationForward<T>& work) {
  for (int64_t r = 0; r < work.rows; ++r) {
    T* saved = work.saved == nullptr ? nullptr : work.saved + r * work.saved_row;
    ForwardRow<Rounding, kActivation>(work, work.pre + r * work.pre_row, saved,
                                      work.hidden + r * work.hidden_row);
  }
}

template <class Rounding, class T>
void ForwardActivation(const ActivationForward<T>& work) {
  switch (work.activation) {
    case Activation::swiglu:
      return ForwardRows<Rounding, Activation::swiglu>(work);
    case Activation::gelu:
      return ForwardRows<Rounding, Activation::gelu>(work);
    case Activation::relu:
      return ForwardRows<Rounding, Activation::relu>(work);
    case Activation::linear:
      return ForwardRows<Rounding, Activation::linear>(work);
  }
}

// What one vector of one row gives: weight * gradient before the activation (gate and up for swiglu), and
// act(pre).
struct Gradient {
  VA first;
  VA second;
  VA hidden;
};

template <Activation kActivation, class T>
HWY_INLINE Gradient GradientAt(const T* saved, VA dhidden, VA weight, VA& dot) {
  const DA d;
  const VA x = LoadWide(d, saved);
  const VA weighted = hn::Mul(weight, dhidden);
  Gradient g;
  if constexpr (kActivation == Activation::swiglu) {
    const VA up = LoadWide(d, saved + kPanelWidth);
    const Slope silu = Silu(x);
    g.first = hn::Mul(hn::Mul(weighted, up), silu.slope);
    g.second = hn::Mul(weighted, silu.value);
    g.hidden = hn::Mul(silu.value, up);
  } else {
    const Slope act = Activate<kActivation>(x);
    g.first = hn::Mul(weighted, act.slope);
    g.second = g.first;
    g.hidden = act.value;
  }
  dot = hn::MulAdd(dhidden, g.hidden, dot);
  return g;
}

// Rows r .. r + kStep - 1 of a vector into a panel's step.
template <class Rounding>
HWY_INLINE void StoreStep(VA low, VA high, bf16* panel) {
  const hn::RebindToUnsigned<DA> du;
  hn::StoreU(Rounding::Pairs(DA(), low, high), du, reinterpret_cast<uint32_t*>(panel));
}
template <class Rounding>
HWY_INLINE void StoreStep(VA low, VA, float* panel) {
  hn::StoreU(low, DA(), panel);
}

// One step of rows: `rows` of them are there (1 or kStep); what is missing counts as zero.
template <class Rounding, Activation kActivation, class T>
void BackwardStep(const ActivationBackward<T>& work, int64_t row, int64_t rows) {
  const DA d;
  constexpr int64_t kPerHidden = kActivation == Activation::swiglu ? 2 : 1;
  const VA zero = hn::Zero(d);
  const int64_t step_at = row * kPanelWidth;  // elements of a panel before this step
  const bool both = rows == 2;
  const int64_t row1 = both ? row + 1 : row;
  const VA weight0 = hn::Set(d, work.weights[row]);
  const VA weight1 = both ? hn::Set(d, work.weights[row1]) : zero;
  VA dot0 = zero;
  VA dot1 = zero;
  for (int64_t c = 0; c < work.panels * kPanelWidth; c += kVectorWidth) {
    const int64_t panel = c / kPanelWidth;
    const int64_t lane = c % kPanelWidth;
    const int64_t at = panel * kPanelWidth * kPerHidden + lane;
    const VA dhidden0 = hn::LoadU(d, work.dhidden + row * work.dhidden_row + c);
    const Gradient g0 =
        GradientAt<kActivation>(work.saved + row * work.saved_row + at, dhidden0, weight0, dot0);
    T* dpre0 = work.dpre + row * work.dpre_row + at;
    StoreRounded<Rounding>(d, g0.first, dpre0);
    if constexpr (kPerHidden == 2) StoreRounded<Rounding>(d, g0.second, dpre0 + kPanelWidth);
    Gradient g1{zero, zero, zero};
    if (both) {
      const VA dhidden1 = hn::LoadU(d, work.dhidden + row1 * work.dhidden_row + c);
      g1 = GradientAt<kActivation>(work.saved + row1 * work.saved_row + at, dhidden1, weight1, dot1);
      T* dpre1 = work.dpre + row1 * work.dpre_row + at;
      StoreRounded<Rounding>(d, g1.first, dpre1);
      if constexpr (kPerHidden == 2) StoreRounded<Rounding>(d, g1.second, dpre1 + kPanelWidth);
    }
    const int64_t in_step = step_at + lane * kStep<T>;
    T* dpre_panel = work.dpre_panels + panel * kPerHidden * work.panel_stride + in_step;
    StoreStep<Rounding>(g0.first, g1.first, dpre_panel);
    if constexpr (kPerHidden == 2) StoreStep<Rounding>(g0.second, g1.second, dpre_panel + work.panel_stride);
    StoreStep<Rounding>(g0.hidden, g1.hidden, work.hidden_panels + panel * work.panel_stride + in_step);
  }
  work.dots[row * work.dots_row] = hn::GetLane(hn::SumOfLanes(d, dot0));
  if (both) work.dots[row1 * work.dots_row] = hn::GetLane(hn::SumOfLanes(d, dot1));
}

template <class Rounding, Activation kActivation, class T>
void BackwardRows(const ActivationBackward<T>& work) {
  for (int64_t r = 0; r < work.rows; r += kStep<T>) {
    BackwardStep<Rounding, kActivation>(work, r, HWY_MIN(kStep<T>, work.rows - r));
  }
}

template <class Rounding, class T>
void BackwardActivation(const ActivationBackward<T>& work) {
  switch (work.activation) {
    case Activation::swiglu:
      return BackwardRows<Rounding, Activation::swiglu>(work);
    case Activation::gelu:
      return BackwardRows<Rounding, Activation::gelu>(work);
    case Activation::relu:
      return BackwardRows<Rounding, Activation::relu>(work);
    case Activation::linear:
      return BackwardRows<Rounding, Activation::linear>(work);
  }
}

inline void WriteRow(const float* x, const float* bias, float scale, int64_t n, Write write, float* y) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto factor = hn::Set(d, scale);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    auto v = hn::LoadU(d, x + i);
    if (bias != nullptr) v = hn::Add(v, hn::LoadU(d, bias + i));
    v = hn::Mul(v, factor);
    if (write == Write::add) v = hn::Add(v, hn::LoadU(d, y + i));
    hn::StoreU(v, d, y + i);
  }
  for (; i < n; ++i) {
    const float v = scale * (bias == nullptr ? x[i] : x[i] + bias[i]);
    y[i] = write == Write::add ? v + y[i] : v;
  }
}

}  // namespace agora::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
