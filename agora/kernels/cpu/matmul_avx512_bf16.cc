#include "agora/kernels/cpu/matmul_avx512_bf16.h"

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace agora::kernels::cpu {
namespace {

// 6 rows x 4 panels: 24 sums, 4 weights and 1 input fill 29 of 32 registers. Two dot products a cycle of
// latency 5-6 need at least 12 sums.
constexpr int kRows = 6;
constexpr int kPanels = static_cast<int>(kGroupPanels);
// Up to 12 rows run as one tile over 2 panels: then reading the weights is the work, and memory gives two
// streams its full bandwidth where four lose a quarter of it (measured on Zen 5).
constexpr int kFewRows = 12;
constexpr int kFewRowsPanels = 2;
constexpr int64_t kLine = 2 * kPanelWidth;  // elements of a cache line: one step of a panel

// What a tile brings into the caches while it computes: `lines` lines, its share of the next four panels,
// spread evenly over the `steps` of the tile so that they do not crowd out the loads of the products; and the
// rows that are written next.
struct Ahead {
  const bf16* at = nullptr;
  const bf16* panel_end = nullptr;
  int64_t panel = 0;  // elements from panel to panel
  int64_t gap = 0;    // from the end of a panel's steps to the next panel
  int64_t lines = 0;
  int64_t steps = 0;
  NextRows rows;
};

// Brings a tile's lines, step by step.
class Feed {
 public:
  explicit Feed(const Ahead& ahead) : ahead_(ahead), at_(ahead.at), panel_end_(ahead.panel_end) {}

  void step() {
    for (due_ += ahead_.lines; due_ >= ahead_.steps; due_ -= ahead_.steps) {
      _mm_prefetch(at_, _MM_HINT_T0);
      at_ += kLine;
      if (at_ == panel_end_) {
        at_ += ahead_.gap;
        panel_end_ += ahead_.panel;
      }
    }
  }

 private:
  const Ahead& ahead_;
  const bf16* at_;
  const bf16* panel_end_;
  int64_t due_ = 0;  // in parts of 1 / steps of a line
};

__m512bh as_pairs(__m512i x) {
  return (__m512bh)x;  // NOLINT: the intrinsics have no other way
}

template <int R, int P>
void tile(const Block<bf16>& block, const bf16* a, const bf16* b, float* c, const Ahead& ahead) {
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
    Feed feed(ahead);
    for (int64_t s = 0; s < block.steps; ++s) {
      feed.step();
      step(a + s * a_step, b + s * kLine);
    }
  } else {
    for (int64_t s = 0; s < block.steps; ++s) step(a + s * a_step, b + s * kLine);
  }
  for (int r = 0; r < R; ++r) {
    for (int p = 0; p < P; ++p) _mm512_storeu_ps(c + r * block.c_row + p * kPanelWidth, sum[r][p]);
  }
}

using TileFunction = void (*)(const Block<bf16>&, const bf16*, const bf16*, float*, const Ahead&);

template <int... I>
constexpr std::array<TileFunction, sizeof...(I)> tiles_of(std::integer_sequence<int, I...>) {
  return {tile<I / kPanels + 1, I % kPanels + 1>...};
}
template <int... I>
constexpr std::array<TileFunction, sizeof...(I)> few_row_tiles_of(std::integer_sequence<int, I...>) {
  return {tile<I / kFewRowsPanels + 1, I % kFewRowsPanels + 1>...};
}
constexpr auto kTiles = tiles_of(std::make_integer_sequence<int, kRows * kPanels>());
constexpr auto kFewRowTiles = few_row_tiles_of(std::make_integer_sequence<int, kFewRows * kFewRowsPanels>());

// Tiles of up to `rows` x `panels`.
struct Shape {
  int64_t rows;
  int64_t panels;
  const TileFunction* tiles;

  TileFunction tile_of(int64_t r, int64_t p) const { return tiles[(r - 1) * panels + p - 1]; }
};
constexpr Shape kShape{kRows, kPanels, kTiles.data()};
constexpr Shape kFewRowShape{kFewRows, kFewRowsPanels, kFewRowTiles.data()};

// Deals the lines of the next four panels out to the tiles of a block, as equally as can be, so that memory
// is never idle. Without divisions for each tile: with few rows a tile takes only 2,000 cycles.
class Shares {
 public:
  Shares(const Block<bf16>& block, int64_t tiles) {
    if (block.next_b == nullptr || block.steps == 0) return;
    const int64_t all = kGroupPanels * block.steps;
    tiles_ = tiles;
    lines_ = all / tiles;
    rest_ = all % tiles;
    ahead_.at = block.next_b;
    ahead_.panel_end = block.next_b + block.steps * kLine;
    ahead_.panel = block.b_panel;
    ahead_.gap = block.b_panel - block.steps * kLine;
    ahead_.steps = block.steps;
  }

  // For the next tile; holds until the next call. Not a copy: one would wait for the stores of its fields.
  const Ahead& take(const char* next_row) {
    ahead_.rows.data = next_row;
    if (tiles_ == 0) return ahead_;
    ahead_.at += ahead_.lines * kLine;
    while (ahead_.at >= ahead_.panel_end) {
      ahead_.at += ahead_.gap;
      ahead_.panel_end += ahead_.panel;
    }
    owed_ += rest_;
    ahead_.lines = lines_ + (owed_ >= tiles_ ? 1 : 0);
    if (owed_ >= tiles_) owed_ -= tiles_;
    return ahead_;
  }
  void set_next_rows(const NextRows& rows) { ahead_.rows = rows; }

 private:
  Ahead ahead_;
  int64_t tiles_ = 0;  // 0: nothing comes next
  int64_t lines_ = 0;  // of every tile, and one more of `rest_` among `tiles_` tiles
  int64_t rest_ = 0;
  int64_t owed_ = 0;
};

int64_t parts_of(int64_t n, int64_t part) { return (n + part - 1) / part; }

}  // namespace

// Rows of panels (the gradient) break every 16; each run is cut into tiles of as equal a height as can be,
// because a tile of few rows runs at the speed of the sums' latency.
void product_avx512_bf16(const Block<bf16>& block) {
  const Shape& shape = block.rows <= kFewRows ? kFewRowShape : kShape;
  const bool one_run = block.a_panel == kPanelWidth * block.a_row;
  const int64_t run_rows = one_run ? block.rows : kPanelWidth;
  const int64_t tiles_all =
      parts_of(block.rows, run_rows) * parts_of(run_rows, shape.rows) * parts_of(block.panels, shape.panels);
  const int64_t columns = shape.panels * kPanelWidth;
  Shares shares(block, tiles_all);
  for (int64_t p = 0; p < block.panels; p += shape.panels) {
    const auto panels = std::min(shape.panels, block.panels - p);
    const bf16* b = block.b + p * block.b_panel;
    float* c = block.c + p * kPanelWidth;
    const bool more = p + shape.panels < block.panels;
    const NextRows next = more ? next_rows_of(c + columns, block.c_row, columns) : block.next_rows;
    shares.set_next_rows(next);
    for (int64_t run = 0; run < block.rows; run += run_rows) {
      const int64_t rows = std::min(run_rows, block.rows - run);
      const bf16* a = block.a + run / kPanelWidth * block.a_panel;
      const int64_t tiles = parts_of(rows, shape.rows);
      const int64_t least = rows / tiles;
      int64_t higher = rows % tiles;  // so many tiles have one row more
      for (int64_t row = 0, height = 0; row < rows; row += height) {
        height = least + (higher-- > 0 ? 1 : 0);
        shape.tile_of(height, panels)(block, a + row * block.a_row, b, c + (run + row) * block.c_row,
                                      shares.take(next.row(run + row)));
      }
    }
  }
}

}  // namespace agora::kernels::cpu
