#include "agora/kernels/cpu/matmul_avx512_bf16.h"

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "agora/kernels/unroll.h"

namespace agora::kernels::cpu {
namespace {

// 6 rows x 4 panels: 24 sums, 4 weights and 1 input fill 29 of 32 registers. Two dot products a cycle of
// latency 5-6 need at least 12 sums.
constexpr int kRows = 6;
constexpr int kPanels = static_cast<int>(kGroupPanels);
// Few rows run as one tile over 2 panels: memory gives two streams its full bandwidth where four lose a
// quarter of it (measured on Zen 5).
constexpr int kFewRowsPanels = 2;
// Steps from the weights that such a tile uses to those that it fetches: 4 KiB of each stream. (64 beat 16,
// 32, 128 and a whole panel.)
constexpr int64_t kNear = 64;
constexpr int64_t kLine = 2 * kPanelWidth;  // elements of a cache line: one step of a panel
alignas(64) constexpr float kZeros[kPanels * kPanelWidth] = {};

// What a tile brings into the caches while it computes: with each step two lines of weights, the first from
// `lines` on and, after `turn` steps, from `then` on; and the rows that are written next, row r with its
// row r. What is not wanted is named twice, or is its own: that costs less than another kind of loop.
struct Ahead {
  const bf16* lines;
  const bf16* then;
  int64_t turn;
  int64_t second;  // elements from the first line to the other
  NextRows rows;
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
  // One way to begin: two would meet in memory, not in registers.
  const float* from = block.add ? c : kZeros;
  const int64_t from_row = block.add ? block.c_row : 0;
  __m512 sum[R][P];
  AGORA_UNROLL
  for (int r = 0; r < R; ++r) {
    AGORA_UNROLL
    for (int p = 0; p < P; ++p) sum[r][p] = _mm512_loadu_ps(from + r * from_row + p * kPanelWidth);
  }
  const int64_t a_row = block.a_row;
  const int64_t a_step = block.a_step;
  const int64_t b_panel = block.b_panel;
  const bf16* lines = ahead.lines;
  int64_t left = ahead.turn;
  for (int64_t s = 0; s < block.steps; ++s) {
    if (left-- == 0) lines = ahead.then;
    _mm_prefetch(lines, _MM_HINT_T0);
    _mm_prefetch(lines + ahead.second, _MM_HINT_T0);
    lines += kLine;
    __m512i weights[P];
    AGORA_UNROLL
    for (int p = 0; p < P; ++p) weights[p] = _mm512_loadu_si512(b + p * b_panel);
    AGORA_UNROLL
    for (int r = 0; r < R; ++r) {
      int32_t pair;
      std::memcpy(&pair, a + r * a_row, sizeof(pair));
      const __m512i input = _mm512_set1_epi32(pair);
      AGORA_UNROLL
      for (int p = 0; p < P; ++p)
        sum[r][p] = _mm512_dpbf16_ps(sum[r][p], as_pairs(input), as_pairs(weights[p]));
    }
    a += a_step;
    b += kLine;
  }
  AGORA_UNROLL
  for (int r = 0; r < R; ++r) {
    AGORA_UNROLL
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
constexpr auto kFewRowTiles =
    few_row_tiles_of(std::make_integer_sequence<int, static_cast<int>(kFewRows) * kFewRowsPanels>());

// Tiles of up to `rows` x `panels`.
struct Shape {
  int64_t rows;
  int64_t panels;
  const TileFunction* tiles;

  TileFunction tile_of(int64_t r, int64_t p) const { return tiles[(r - 1) * panels + p - 1]; }
};
constexpr Shape kShape{kRows, kPanels, kTiles.data()};
constexpr Shape kFewRowShape{kFewRows, kFewRowsPanels, kFewRowTiles.data()};

int64_t parts_of(int64_t n, int64_t part) { return (n + part - 1) / part; }

// Few rows: weights are used once, so every tile fetches its own, a little ahead, and then those of the tile
// after it.
Ahead near_ahead(const Block<bf16>& block, const bf16* b, const bf16* next) {
  return {.lines = b + kNear * kLine,
          .then = next == nullptr ? b : next,
          .turn = std::max<int64_t>(0, block.steps - kNear),
          .second = block.b_panel,
          .rows = {}};
}

// Many rows: the tiles of a group share its weights. Each of the first fetches one panel of the next group's,
// the very first two of them where tiles are too few.
Ahead group_ahead(const Block<bf16>& block, const bf16* b, int64_t tile, int64_t tiles) {
  const int64_t twice = std::max<int64_t>(0, kGroupPanels - tiles);
  const int64_t panel = tile + std::min(tile, twice);
  const bool fetches = block.next_b != nullptr && panel < kGroupPanels;
  return {.lines = fetches ? block.next_b + panel * block.b_panel : b,
          .then = nullptr,
          .turn = block.steps,
          .second = tile < twice ? block.b_panel : 0,
          .rows = {}};
}

}  // namespace

// Rows of panels (the gradient) break every 16; each run is cut into tiles of as equal a height as can be,
// because a tile of few rows runs at the speed of the sums' latency.
void product_avx512_bf16(const Block<bf16>& block) {
  const bool few = block.rows <= kFewRows;
  const Shape& shape = few ? kFewRowShape : kShape;
  const bool one_run = block.a_panel == kPanelWidth * block.a_row;
  const int64_t run_rows = one_run ? block.rows : kPanelWidth;
  const int64_t tiles_all = parts_of(block.rows, run_rows) * parts_of(run_rows, shape.rows);
  const int64_t columns = shape.panels * kPanelWidth;
  for (int64_t p = 0; p < block.panels; p += shape.panels) {
    const auto panels = std::min(shape.panels, block.panels - p);
    const bf16* b = block.b + p * block.b_panel;
    float* c = block.c + p * kPanelWidth;
    const bool more = p + shape.panels < block.panels;
    const NextRows next = more ? next_rows_of(c + columns, block.c_row, columns) : block.next_rows;
    int64_t tile = 0;
    for (int64_t run = 0; run < block.rows; run += run_rows) {
      const int64_t rows = std::min(run_rows, block.rows - run);
      const bf16* a = block.a + run / kPanelWidth * block.a_panel;
      const int64_t tiles = parts_of(rows, shape.rows);
      const int64_t least = rows / tiles;
      int64_t higher = rows % tiles;  // so many tiles have one row more
      for (int64_t row = 0, height = 0; row < rows; row += height) {
        height = least + (higher-- > 0 ? 1 : 0);
        Ahead ahead = few ? near_ahead(block, b, more ? b + shape.panels * block.b_panel : block.next_b)
                          : group_ahead(block, b, tile++, tiles_all);
        ahead.rows = {next.row(run + row), next.row_bytes, next.lines};
        shape.tile_of(height, panels)(block, a + row * block.a_row, b, c + (run + row) * block.c_row, ahead);
      }
    }
  }
}

}  // namespace agora::kernels::cpu
