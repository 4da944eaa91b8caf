// Vector pieces that several kernels share, for use inside Highway's per-target namespaces.
//
//   namespace hn = hwy::HWY_NAMESPACE;   const hn::ScalableTag<float> d;
//   auto y = Exp(d, x);                            // <= 2 units in the last place
//   auto tail = LoadPartial(d, p, n);              // the first n < Lanes(d) numbers, zeros behind
//   StorePartial(d, tail, p, n);
//   ForEachVector(d, n, [&](size_t i, auto p) HWY_ATTR { Put(d, Exp(d, Get(d, x + i, p)), y + i, p); });
//
// Included after hwy/highway.h, once per target. Any thread.
#if defined(AGORA_KERNELS_VECTOR_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AGORA_KERNELS_VECTOR_MATH_INL_H_
#undef AGORA_KERNELS_VECTOR_MATH_INL_H_
#else
#define AGORA_KERNELS_VECTOR_MATH_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace agora::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// e^x. Results below 2^-125 are 0; x above 88.72 gives the largest finite number; NaN stays NaN.
// x = n ln 2 + r; e^r by Cephes' polynomial (Moshier, expf); 2^n through the exponent bits.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Exp(D d, V x) {
  const hn::Rebind<int32_t, D> di;
  // The number comes second: x86's min and max return their second operand when one is NaN.
  const V clamped = hn::Min(hn::Set(d, 88.72283f), hn::Max(hn::Set(d, -87.33654f), x));
  const V n = hn::Round(hn::Mul(clamped, hn::Set(d, 1.44269504f)));
  V r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), clamped);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  V p = hn::MulAdd(hn::Set(d, 1.9875691500e-4f), r, hn::Set(d, 1.3981999507e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1f));
  p = hn::MulAdd(hn::Mul(p, r), r, hn::Add(r, hn::Set(d, 1.0f)));
  // 2^(n - 1), then twice that: n reaches 128, one above the largest exponent.
  const auto bits = hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(di, n), hn::Set(di, 126)));
  const V scaled = hn::Mul(p, hn::BitCast(d, bits));
#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128
  return hn::IfThenElse(hn::IsNaN(x), x, hn::Add(scaled, scaled));  // the plain min and max drop it
#else
  return hn::Add(scaled, scaled);
#endif
}

#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
// These targets have masked loads and stores that touch no byte outside the mask.
template <class D>
HWY_INLINE hn::Vec<D> LoadPartial(D d, const float* HWY_RESTRICT p, size_t n) {
  return hn::MaskedLoad(hn::FirstN(d, n), d, p);
}
template <class D>
HWY_INLINE void StorePartial(D d, hn::Vec<D> v, float* HWY_RESTRICT p, size_t n) {
  hn::BlendedStore(v, hn::FirstN(d, n), d, p);
}
#else
template <class D>
HWY_INLINE hn::Vec<D> LoadPartial(D d, const float* HWY_RESTRICT p, size_t n) {
  HWY_ALIGN float whole[hn::MaxLanes(d)] = {};
  for (size_t i = 0; i < n; ++i) whole[i] = p[i];
  return hn::Load(d, whole);
}
template <class D>
HWY_INLINE void StorePartial(D d, hn::Vec<D> v, float* HWY_RESTRICT p, size_t n) {
  HWY_ALIGN float whole[hn::MaxLanes(d)];
  hn::Store(v, d, whole);
  for (size_t i = 0; i < n; ++i) p[i] = whole[i];
}
#endif

// A loop over n numbers calls its body with Whole for every full vector and once with Part for what is left.
struct Whole {};
struct Part {
  size_t n;
};
template <class D>
HWY_INLINE hn::Vec<D> Get(D d, const float* p, Whole) {
  return hn::LoadU(d, p);
}
template <class D>
HWY_INLINE hn::Vec<D> Get(D d, const float* p, Part part) {
  return LoadPartial(d, p, part.n);
}
template <class D>
HWY_INLINE void Put(D d, hn::Vec<D> v, float* p, Whole) {
  hn::StoreU(v, d, p);
}
template <class D>
HWY_INLINE void Put(D d, hn::Vec<D> v, float* p, Part part) {
  StorePartial(d, v, p, part.n);
}
template <class D, class Body>
HWY_INLINE void ForEachVector(D d, size_t n, const Body& body) {
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) body(i, Whole{});
  if (i < n) body(i, Part{n - i});
}

template <class D>
HWY_INLINE float SumAcross(D d, hn::Vec<D> v) {
  return hn::GetLane(hn::SumOfLanes(d, v));
}

}  // namespace agora::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
