#include <algorithm>
#include <cmath>
#include <vector>

#include "agora/kernels/highway_targets.h"
#include "agora/kernels/row_ops.h"

// The order of these is their meaning.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "agora/kernels/rope.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "agora/kernels/vector_math-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace agora::kernels::HWY_NAMESPACE {

// sin and cos of quarter * pi / 2 for |quarter| <= 1/2, by Cephes' polynomials (Moshier, sinf) over +-pi/4.
template <class D, class V = hn::Vec<D>>
HWY_INLINE void SinCosOfEighth(D d, V quarter, V& sine, V& cosine) {
  const V r = hn::Mul(quarter, hn::Set(d, 1.57079632679f));
  const V z = hn::Mul(r, r);
  V s = hn::MulAdd(hn::Set(d, -1.9515295891e-4f), z, hn::Set(d, 8.3321608736e-3f));
  s = hn::MulAdd(s, z, hn::Set(d, -1.6666654611e-1f));
  sine = hn::MulAdd(hn::Mul(s, z), r, r);
  V c = hn::MulAdd(hn::Set(d, 2.443315711809948e-5f), z, hn::Set(d, -1.388731625493765e-3f));
  c = hn::MulAdd(c, z, hn::Set(d, 4.166664568298827e-2f));
  cosine = hn::MulAdd(hn::Mul(c, z), z, hn::NegMulAdd(hn::Set(d, 0.5f), z, hn::Set(d, 1.0f)));
}

// sine[i], cosine[i] of position * quarters[i] quarter turns, for i < n. The angle is reduced in f64: a long
// text's positions times the fastest frequency would lose the small digits in f32.
void SinCosRow(const double* quarters, size_t n, double position, float* sine, float* cosine) {
  const hn::ScalableTag<double> dd;
  const hn::Rebind<float, decltype(dd)> d;
  const hn::Rebind<int32_t, decltype(dd)> di;
  const size_t lanes = hn::Lanes(dd);
  for (size_t i = 0; i < n; i += lanes) {  // the arrays are padded to whole vectors
    const auto turned = hn::Mul(hn::LoadU(dd, quarters + i), hn::Set(dd, position));
    const auto whole = hn::Round(turned);
    // whole mod 4 says which of sin, cos, -sin, -cos each one is.
    const auto four = hn::Set(dd, 4.0);
    const auto quadrant =
        hn::DemoteTo(di, hn::Sub(whole, hn::Mul(four, hn::Floor(hn::Mul(whole, hn::Set(dd, 0.25))))));
    auto s = hn::Zero(d), c = hn::Zero(d);
    SinCosOfEighth(d, hn::DemoteTo(d, hn::Sub(turned, whole)), s, c);
    const auto one = hn::Set(di, 1), two = hn::Set(di, 2);
    const auto swapped = hn::MaskFromVec(hn::BitCast(d, hn::VecFromMask(di, hn::TestBit(quadrant, one))));
    const auto sign = [&](auto q) HWY_ATTR { return hn::BitCast(d, hn::ShiftLeft<30>(hn::And(q, two))); };
    hn::StoreU(hn::Xor(hn::IfThenElse(swapped, c, s), sign(quadrant)), d, sine + i);
    hn::StoreU(hn::Xor(hn::IfThenElse(swapped, s, c), sign(hn::Add(quadrant, one))), d, cosine + i);
  }
}

// One head: (a, b) -> (a cos - b sin, b cos + a sin) for the pairs (i, i + n); sign turns the other way.
void RotateHead(float* x, size_t n, const float* sine, const float* cosine, float sign) {
  const hn::ScalableTag<float> d;
  const auto signs = hn::Set(d, sign);
  ForEachVector(d, n, [&](size_t i, auto part) HWY_ATTR {
    const auto s = hn::Mul(Get(d, sine + i, part), signs), c = Get(d, cosine + i, part);
    const auto a = Get(d, x + i, part), b = Get(d, x + n + i, part);
    Put(d, hn::NegMulAdd(b, s, hn::Mul(a, c)), x + i, part);
    Put(d, hn::MulAdd(a, s, hn::Mul(b, c)), x + n + i, part);
  });
}

}  // namespace agora::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace agora::kernels {
namespace {

HWY_EXPORT(SinCosRow);
HWY_EXPORT(RotateHead);

constexpr size_t kLanesMax = 64;  // padding: doubles of the widest vector Highway knows
constexpr int64_t kRowsOfPiece = 32;

}  // namespace

void rope(const Compute& compute, View<float> x, int64_t heads, std::span<const int32_t> positions,
          float theta, int sign) {
  AGORA_CHECK_EQ(x.rows, static_cast<int64_t>(positions.size()));
  AGORA_CHECK(heads > 0 && x.cols % (2 * heads) == 0);
  AGORA_CHECK(sign == 1 || sign == -1);
  const auto pairs = static_cast<size_t>(x.cols / heads / 2);
  std::vector<double> quarters(pairs + kLanesMax);  // quarter turns a position
  for (size_t i = 0; i < pairs; ++i) {
    quarters[i] =
        std::pow(static_cast<double>(theta), -static_cast<double>(i) / static_cast<double>(pairs)) / M_PI_2;
  }
  compute.pool->run_ranges(x.rows, kRowsOfPiece, [&](int64_t begin, int64_t end) {
    std::vector<float> sine(pairs + kLanesMax), cosine(pairs + kLanesMax);
    for (int64_t t = begin; t < end; ++t) {
      HWY_DYNAMIC_DISPATCH(SinCosRow)(quarters.data(), pairs, positions[t], sine.data(), cosine.data());
      for (int64_t h = 0; h < heads; ++h) {
        float* head = x.row(t) + h * 2 * static_cast<int64_t>(pairs);
        HWY_DYNAMIC_DISPATCH(RotateHead)(head, pairs, sine.data(), cosine.data(), static_cast<float>(sign));
      }
    }
  });
}

}  // namespace agora::kernels
#endif
