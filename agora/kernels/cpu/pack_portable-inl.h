// Rounding to bf16 and packing into panels. Included once per target by cpu/portable.cc.
#if defined(AGORA_KERNELS_CPU_PACK_PORTABLE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AGORA_KERNELS_CPU_PACK_PORTABLE_INL_H_
#undef AGORA_KERNELS_CPU_PACK_PORTABLE_INL_H_
#else
#define AGORA_KERNELS_CPU_PACK_PORTABLE_INL_H_
#endif

#include <cstring>

#include "agora/kernels/table.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace agora::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Rounds to bf16 as tensor::to_bf16 does: nearest, ties to even, NaN stays NaN.
struct PlainRounding {
  // The rounded bits in the upper half of each lane; the lower half is undefined.
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE hn::Vec<hn::RebindToUnsigned<D>> Bits(D, V x) {
    const hn::RebindToUnsigned<D> du;
    const auto bits = hn::BitCast(du, x);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
    const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fff)));
    const auto quiet = hn::Or(bits, hn::Set(du, 0x400000));
    return hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(x)), quiet, rounded);
  }

  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE hn::Vec<hn::Rebind<uint16_t, D>> Half(D d, V x) {
    return hn::TruncateTo(hn::Rebind<uint16_t, D>(), hn::ShiftRight<16>(Bits(d, x)));
  }

  // `low` in the lower half of each lane, `high` in the upper.
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE hn::Vec<hn::RebindToUnsigned<D>> Pairs(D d, V low, V high) {
    const hn::RebindToUnsigned<D> du;
    return hn::Or(hn::ShiftRight<16>(Bits(d, low)), hn::And(Bits(d, high), hn::Set(du, 0xffff0000u)));
  }
};

// The same by one instruction of AVX512-BF16, which this version of Highway does not know. It takes numbers
// below 2^-126 for zero, as that processor's dot product does when it reads them.
#if HWY_TARGET == HWY_AVX3
struct NativeRounding {
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE hn::Vec<hn::Rebind<uint16_t, D>> Half(D, V x) {
    static_assert(hn::MaxLanes(D()) == 16);
    hn::Vec<hn::Rebind<uint16_t, D>> half;
    asm("vcvtneps2bf16 %1, %0" : "=v"(half.raw) : "v"(x.raw));
    return half;
  }

  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE hn::Vec<hn::RebindToUnsigned<D>> Pairs(D d, V low, V high) {
    const hn::RebindToUnsigned<D> du;
    return hn::Or(hn::PromoteTo(du, Half(d, low)), hn::ShiftLeft<16>(hn::PromoteTo(du, Half(d, high))));
  }
};
#else
using NativeRounding = PlainRounding;
#endif

// y[i] = x[i] rounded, Lanes(d) numbers.
template <class Rounding, class D, class V = hn::Vec<D>>
HWY_INLINE void StoreRounded(D d, V x, bf16* y) {
  hn::StoreU(Rounding::Half(d, x), hn::Rebind<uint16_t, D>(), reinterpret_cast<uint16_t*>(y));
}
template <class Rounding, class D, class V = hn::Vec<D>>
HWY_INLINE void StoreRounded(D d, V x, float* y) {
  hn::StoreU(x, d, y);
}

// Lanes(d) numbers as f32.
template <class D>
HWY_INLINE hn::Vec<D> LoadWide(D d, const bf16* x) {
  const hn::RebindToUnsigned<D> du;
  const hn::Rebind<uint16_t, D> d16;
  const auto bits = hn::PromoteTo(du, hn::LoadU(d16, reinterpret_cast<const uint16_t*>(x)));
  return hn::BitCast(d, hn::ShiftLeft<16>(bits));
}
template <class D>
HWY_INLINE hn::Vec<D> LoadWide(D d, const float* x) {
  return hn::LoadU(d, x);
}

template <class Rounding>
void Round(const float* x, int64_t n, int64_t n_padded, bf16* y) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) StoreRounded<Rounding>(d, hn::LoadU(d, x + i), y + i);
  for (; i < n; ++i) y[i] = tensor::to_bf16(x[i]);
  for (; i < n_padded; ++i) y[i] = bf16{};
}
template <class Rounding>
void Round(const float* x, int64_t n, int64_t n_padded, float* y) {
  std::memcpy(y, x, static_cast<size_t>(n) * sizeof(float));
  for (int64_t i = n; i < n_padded; ++i) y[i] = 0.0f;
}

// Turns 4 rows of 4 words into 4 columns: in[r * in_row + c] -> out[c * out_row + r].
#if HWY_TARGET == HWY_SCALAR
HWY_INLINE void Transpose4(const uint32_t* in, int64_t in_row, uint32_t* out, int64_t out_row) {
  for (int64_t i = 0; i < 16; ++i) std::memcpy(out + i % 4 * out_row + i / 4, in + i / 4 * in_row + i % 4, 4);
}
#else
HWY_INLINE void Transpose4(const uint32_t* in, int64_t in_row, uint32_t* out, int64_t out_row) {
  const hn::Full128<uint32_t> d;
  const hn::Full128<uint64_t> d64;
  const auto r0 = hn::LoadU(d, in);
  const auto r1 = hn::LoadU(d, in + in_row);
  const auto r2 = hn::LoadU(d, in + 2 * in_row);
  const auto r3 = hn::LoadU(d, in + 3 * in_row);
  const auto low01 = hn::BitCast(d64, hn::InterleaveLower(d, r0, r1));  // a0 b0 a1 b1
  const auto low23 = hn::BitCast(d64, hn::InterleaveLower(d, r2, r3));
  const auto high01 = hn::BitCast(d64, hn::InterleaveUpper(d, r0, r1));
  const auto high23 = hn::BitCast(d64, hn::InterleaveUpper(d, r2, r3));
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, low01, low23)), d, out);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, low01, low23)), d, out + out_row);
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, high01, high23)), d, out + 2 * out_row);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, high01, high23)), d, out + 3 * out_row);
}
#endif

// A panel is the transpose of its rows in words of 32 bits, each a step: a pair of bf16 or one f32.
template <class Rounding, class T>
void PackRows(const float* w, int64_t row_stride, int64_t rows, int64_t columns, T* panel) {
  constexpr int64_t kChunk = 64;  // steps at a time: 16 rows of them stay in the first-level cache
  HWY_ALIGN T staged[kPanelWidth][kChunk * kStep<T>] = {};
  const int64_t steps = steps_of<T>(columns);
  for (int64_t s = 0; s < steps; s += kChunk) {
    const int64_t count = HWY_MIN(kChunk, steps - s);
    const int64_t count_padded = round_up(count, 4);
    const int64_t column = s * kStep<T>;
    const int64_t numbers = HWY_MIN(count * kStep<T>, columns - column);
    for (int64_t r = 0; r < rows; ++r) {
      Round<Rounding>(w + r * row_stride + column, numbers, count_padded * kStep<T>, staged[r]);
    }
    const auto* words = reinterpret_cast<const uint32_t*>(staged);
    const auto turn = [&](int64_t i, uint32_t* to) HWY_ATTR {
      for (int64_t r = 0; r < kPanelWidth; r += 4) {
        Transpose4(words + r * kChunk + i, kChunk, to + r, kPanelWidth);
      }
    };
    auto* to = reinterpret_cast<uint32_t*>(panel) + s * kPanelWidth;
    int64_t i = 0;
    for (; i + 4 <= count; i += 4) turn(i, to + i * kPanelWidth);
    if (i == count) continue;
    HWY_ALIGN uint32_t turned[4 * kPanelWidth];
    turn(i, turned);
    std::memcpy(to + i * kPanelWidth, turned,
                static_cast<size_t>((count - i) * kPanelWidth) * sizeof(uint32_t));
  }
}

template <class Rounding>
void PackStep(const float* row0, const float* row1, float scale0, float scale1, int64_t columns, bf16* out,
              int64_t panel_stride) {
  const hn::CappedTag<float, static_cast<size_t>(kPanelWidth)> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  HWY_ALIGN const float zeros[kPanelWidth] = {};
  const auto s0 = hn::Set(d, scale0);
  const auto s1 = hn::Set(d, scale1);
  for (int64_t c = 0; c < columns; c += kPanelWidth, out += panel_stride) {
    HWY_ALIGN float tail[2][kPanelWidth] = {};
    const float* low = row0 + c;
    const float* high = row1 == nullptr ? zeros : row1 + c;
    if (columns - c < kPanelWidth) {
      std::memcpy(tail[0], low, static_cast<size_t>(columns - c) * sizeof(float));
      std::memcpy(tail[1], high, static_cast<size_t>(columns - c) * sizeof(float));
      low = tail[0];
      high = tail[1];
    }
    for (int64_t i = 0; i < kPanelWidth; i += lanes) {
      const auto pairs =
          Rounding::Pairs(d, hn::Mul(s0, hn::LoadU(d, low + i)), hn::Mul(s1, hn::LoadU(d, high + i)));
      hn::StoreU(pairs, du, reinterpret_cast<uint32_t*>(out) + i);
    }
  }
}

template <class Rounding>
void PackStep(const float* row0, const float*, float scale0, float, int64_t columns, float* out,
              int64_t panel_stride) {
  for (int64_t c = 0; c < columns; c += kPanelWidth, out += panel_stride) {
    const int64_t whole = HWY_MIN(kPanelWidth, columns - c);
    for (int64_t i = 0; i < whole; ++i) out[i] = scale0 * row0[c + i];
    for (int64_t i = whole; i < kPanelWidth; ++i) out[i] = 0.0f;
  }
}

}  // namespace agora::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
