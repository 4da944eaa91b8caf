#include "agora/kernels/cpu/matmul_avx512_bf16.h"

#include <immintrin.h>

#include <algorithm>
#include <cstring>

namespace agora::kernels::cpu {
namespace {

// 6 rows x 4 panels: 24 sums, 4 weights and 1 input fill 29 of 32 registers; each weight loaded serves 6
// products. Two dot products a cycle of latency 5-6 need at least 12 sums.
constexpr int kRows = 6;
constexpr int kPanels = static_cast<int>(kGroupPanels);
constexpr int64_t kTileColumns = kPanels * kPanelWidth;

constexpr int64_t kLine = 2 * kPanelWidth;  // elements of a cache line: one step of a panel

// What a tile brings into the caches while it computes: `lines` lines, its share of the next four panels,
// spread evenly over the `steps` of the tile so that they do not crowd out the loads of the products; and C's
// tile of the same shape at `c`, if there is one.
struct Ahead {
  const bf16* at = nullptr;
  const bf16* panel_end = nullptr;
  int64_t panel = 0;  // elements from panel to panel
  int64_t gap = 0;    // from the end of a panel's steps to the next panel
  int64_t lines = 0;
  int64_t steps = 0;
  int64_t due = 0;  // in parts of 1 / steps of a line
  NextRows rows;

  void step() {
    for (due += lines; due >= steps; due -= steps) {
      _mm_prefetch(at, _MM_HINT_T1);
      at += kLine;
      if (at == panel_end) {
        at += gap;
        panel_end += panel;
      }
    }
  }
};

__m512bh as_pairs(__m512i x) {
  return (__m512bh)x;  // NOLINT: the intrinsics have no other way
}

template <int R, int P>
void tile(const Block<bf16>& block, const bf16* a, const bf16* b, float* c, Ahead ahead) {
  for (int r = 0; r < R; ++r) {
    for (int64_t line = 0; line < ahead.rows.lines; ++line)
      __builtin_prefetch(ahead.rows.row(r) + 64 * line, 1);
  }
  __m512 sum[R][P];
  for (int r = 0; r < R; ++r) {
    for (int p = 0; p < P; ++p) {
      sum[r][p] = block.add ? _mm512_loadu_ps(c + r * block.c_row + p * kPanelWidth) : _mm512_setzero_ps();
    }
  }
  const int64_t a_row = block.a_row;
  const int64_t a_step = block.a_step;
  const int64_t b_panel = block.b_panel;
  const auto step = [&](const bf16* a_at, const bf16* b_at) __attribute__((always_inline)) {
    __m512i weights[P];
    for (int p = 0; p < P; ++p) weights[p] = _mm512_loadu_si512(b_at + p * b_panel);
    for (int r = 0; r < R; ++r) {
      int32_t pair;
      std::memcpy(&pair, a_at + r * a_row, sizeof(pair));
      const __m512i input = _mm512_set1_epi32(pair);
      for (int p = 0; p < P; ++p)
        sum[r][p] = _mm512_dpbf16_ps(sum[r][p], as_pairs(input), as_pairs(weights[p]));
    }
  };
  if (ahead.lines > 0) {
    for (int64_t s = 0; s < block.steps; ++s) {
      ahead.step();
      step(a + s * a_step, b + s * kLine);
    }
  } else {
    for (int64_t s = 0; s < block.steps; ++s) step(a + s * a_step, b + s * kLine);
  }
  for (int r = 0; r < R; ++r) {
    for (int p = 0; p < P; ++p) _mm512_storeu_ps(c + r * block.c_row + p * kPanelWidth, sum[r][p]);
  }
}

using TileFunction = void (*)(const Block<bf16>&, const bf16*, const bf16*, float*, Ahead);

constexpr TileFunction kTiles[kRows][kPanels] = {
    {tile<1, 1>, tile<1, 2>, tile<1, 3>, tile<1, 4>}, {tile<2, 1>, tile<2, 2>, tile<2, 3>, tile<2, 4>},
    {tile<3, 1>, tile<3, 2>, tile<3, 3>, tile<3, 4>}, {tile<4, 1>, tile<4, 2>, tile<4, 3>, tile<4, 4>},
    {tile<5, 1>, tile<5, 2>, tile<5, 3>, tile<5, 4>}, {tile<6, 1>, tile<6, 2>, tile<6, 3>, tile<6, 4>},
};

// The share of tile `index` of `tiles`: as equal as can be, so that memory is never idle.
Ahead share(const Block<bf16>& block, int64_t index, int64_t tiles) {
  Ahead ahead;
  if (block.next_b == nullptr || block.steps == 0) return ahead;
  const int64_t all = kPanels * block.steps;
  const int64_t begin = index * all / tiles;
  ahead.lines = (index + 1) * all / tiles - begin;
  ahead.steps = block.steps;
  const int64_t panel = begin / block.steps;
  ahead.at = block.next_b + panel * block.b_panel + begin % block.steps * kLine;
  ahead.panel_end = block.next_b + panel * block.b_panel + block.steps * kLine;
  ahead.panel = block.b_panel;
  ahead.gap = block.b_panel - block.steps * kLine;
  return ahead;
}

// All rows against up to four panels. Rows of panels (the gradient) break every 16; each run is cut into
// tiles of as equal a height as can be, because a tile of one or two rows runs at the speed of the sums'
// latency.
void product_group(const Block<bf16>& block, const bf16* b, float* c, const NextRows& next_rows, int panels) {
  const bool one_run = block.a_panel == kPanelWidth * block.a_row;
  const int64_t run_rows = one_run ? block.rows : kPanelWidth;
  const int64_t tiles_all = (block.rows + kRows - 1) / kRows;
  int64_t tile_index = 0;
  for (int64_t run = 0; run < block.rows; run += run_rows) {
    const int64_t rows = run + run_rows <= block.rows ? run_rows : block.rows - run;
    const int64_t tiles = (rows + kRows - 1) / kRows;
    const bf16* a = block.a + run / kPanelWidth * block.a_panel;
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t begin = t * rows / tiles;
      const int64_t height = (t + 1) * rows / tiles - begin;
      Ahead ahead = share(block, tile_index++, tiles_all);
      ahead.rows = {next_rows.row(run + begin), next_rows.row_bytes, next_rows.lines};
      kTiles[height - 1][panels - 1](block, a + begin * block.a_row, b, c + (run + begin) * block.c_row,
                                     ahead);
    }
  }
}

}  // namespace

void product_avx512_bf16(const Block<bf16>& block) {
  for (int64_t p = 0; p < block.panels; p += kPanels) {
    const int64_t panels = block.panels - p < kPanels ? block.panels - p : kPanels;
    float* c = block.c + p * kPanelWidth;
    const NextRows next = p + kPanels < block.panels
                              ? next_rows_of(c + kTileColumns, block.c_row, kTileColumns)
                              : block.next_rows;
    product_group(block, block.b + p * block.b_panel, c, next, static_cast<int>(panels));
  }
}

}  // namespace agora::kernels::cpu
