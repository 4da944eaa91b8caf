// The product of panels for every processor that Highway knows. Included once per target by cpu/portable.cc.
//
// f32: a fused multiply-add for each inner element. bf16: each pair is widened to two f32 numbers (a shift, a
// mask) and added low element first. So a bf16 element's sum takes the inner dimension in ascending order,
// like the f32 one.
#if defined(AGORA_KERNELS_CPU_MATMUL_PORTABLE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AGORA_KERNELS_CPU_MATMUL_PORTABLE_INL_H_
#undef AGORA_KERNELS_CPU_MATMUL_PORTABLE_INL_H_
#else
#define AGORA_KERNELS_CPU_MATMUL_PORTABLE_INL_H_
#endif

#include <cstring>

#include "agora/kernels/table.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace agora::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, static_cast<size_t>(kPanelWidth)>;
using VF = hn::Vec<DF>;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(DF()));
constexpr int kPanelVectors = static_cast<int>(kPanelWidth) / kLanes;

// The sums must fit the registers: 32 on AVX-512 and NEON, 16 on the other x86 targets.
constexpr int kTilePanels = kLanes == 16 ? static_cast<int>(kGroupPanels) : 1;
constexpr int kTileVectors = kTilePanels * kPanelVectors;
#if HWY_TARGET == HWY_NEON
constexpr int kTileRows = 6;
#else
constexpr int kTileRows = kPanelVectors >= 4 ? 3 : 6;
#endif

// Adds one step: sum[r][v] += a[r] * b[v].
template <int R, int V>
HWY_INLINE void MultiplyStep(const float* a, int64_t a_row, const float* b, int64_t b_panel,
                             VF (&sum)[R][V]) {
  const DF d;
  for (int v = 0; v < V; ++v) {
    const VF weight = hn::LoadU(d, b + v / kPanelVectors * b_panel + v % kPanelVectors * kLanes);
    for (int r = 0; r < R; ++r) sum[r][v] = hn::MulAdd(hn::Set(d, a[r * a_row]), weight, sum[r][v]);
  }
}

template <int R, int V>
HWY_INLINE void MultiplyStep(const bf16* a, int64_t a_row, const bf16* b, int64_t b_panel, VF (&sum)[R][V]) {
  const DF d;
  const hn::RebindToUnsigned<DF> du;
  const auto high = hn::Set(du, 0xffff0000u);
  VF low_input[R];
  VF high_input[R];
  for (int r = 0; r < R; ++r) {
    uint32_t pair;
    std::memcpy(&pair, a + r * a_row, sizeof(pair));
    low_input[r] = hn::BitCast(d, hn::Set(du, pair << 16));
    high_input[r] = hn::BitCast(d, hn::Set(du, pair & 0xffff0000u));
  }
  for (int v = 0; v < V; ++v) {
    const bf16* at = b + v / kPanelVectors * b_panel + v % kPanelVectors * kLanes * 2;
    const auto pairs = hn::LoadU(du, reinterpret_cast<const uint32_t*>(at));
    const VF low_weight = hn::BitCast(d, hn::ShiftLeft<16>(pairs));
    const VF high_weight = hn::BitCast(d, hn::And(pairs, high));
    for (int r = 0; r < R; ++r) {
      sum[r][v] = hn::MulAdd(low_input[r], low_weight, sum[r][v]);
      sum[r][v] = hn::MulAdd(high_input[r], high_weight, sum[r][v]);
    }
  }
}

template <class T, int R, int V>
void MultiplyTile(const Block<T>& block, const T* a, const T* b, float* c) {
  const DF d;
  VF sum[R][V];
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) {
      sum[r][v] = block.add ? hn::LoadU(d, c + r * block.c_row + v * kLanes) : hn::Zero(d);
    }
  }
  const int64_t a_row = block.a_row;
  const int64_t a_step = block.a_step;
  const int64_t b_panel = block.b_panel;
  constexpr int64_t kLine = kStep<T> * kPanelWidth;
  for (int64_t s = 0; s < block.steps; ++s) {
    MultiplyStep(a + s * a_step, a_row, b + s * kLine, b_panel, sum);
  }
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) hn::StoreU(sum[r][v], d, c + r * block.c_row + v * kLanes);
  }
}

// `rows` <= kTileRows.
template <class T, int V>
void MultiplyRows(const Block<T>& block, int64_t rows, const T* a, const T* b, float* c) {
  switch (rows) {
    case 1:
      return MultiplyTile<T, 1, V>(block, a, b, c);
    case 2:
      return MultiplyTile<T, 2, V>(block, a, b, c);
    case 3:
      return MultiplyTile<T, 3, V>(block, a, b, c);
    case 4:
      return MultiplyTile<T, 4, V>(block, a, b, c);
    case 5:
      return MultiplyTile<T, 5, V>(block, a, b, c);
    default:
      return MultiplyTile<T, 6, V>(block, a, b, c);
  }
}

template <class T>
void MultiplyGroup(const Block<T>& block, const T* b, float* c, int64_t panels) {
  for (int64_t run = 0; run < block.rows; run += kPanelWidth) {
    const int64_t rows = HWY_MIN(kPanelWidth, block.rows - run);
    const int64_t tiles = (rows + kTileRows - 1) / kTileRows;
    const T* a = block.a + run / kPanelWidth * block.a_panel;
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t begin = t * rows / tiles;
      const int64_t height = (t + 1) * rows / tiles - begin;
      const T* a_at = a + begin * block.a_row;
      float* c_at = c + (run + begin) * block.c_row;
      if (panels == kTilePanels) {
        MultiplyRows<T, kTileVectors>(block, height, a_at, b, c_at);
      } else {
        for (int64_t p = 0; p < panels; ++p) {
          MultiplyRows<T, kPanelVectors>(block, height, a_at, b + p * block.b_panel, c_at + p * kPanelWidth);
        }
      }
    }
  }
}

template <class T>
void Product(const Block<T>& block) {
  for (int64_t p = 0; p < block.panels; p += kTilePanels) {
    const int64_t panels = HWY_MIN(static_cast<int64_t>(kTilePanels), block.panels - p);
    MultiplyGroup(block, block.b + p * block.b_panel, block.c + p * kPanelWidth, panels);
  }
}

}  // namespace agora::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
