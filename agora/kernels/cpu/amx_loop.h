// The product of bf16 panels on two-dimensional tile registers, over any implementation of the tiles.
//
//   HardwareTiles tiles;      product_on_tiles(block, tiles);     // cpu/matmul_amx.cc, the processor's own
//   EmulatedTiles tiles;      product_on_tiles(block, tiles);     // the test's, on any machine
//
// Tiles are 16 rows of 64 bytes. Tiles 0-3 hold sums (16 x 16 f32), 4 and 5 inputs (16 rows x 32 bf16), 6 and
// 7 weights: a panel's 16 steps are such a tile as they lie in memory. Each tile that is loaded serves two
// products.
//
// A Tiles has: begin(), end(), zero<N>(), load<N>(address, row_bytes), store<N>(address, row_bytes),
// multiply<C, A, B>(), transpose(words, out, out_row): 16 x 16 words of 32 bits, and written(): what was
// written in memory may be loaded now.
#pragma once

#include <algorithm>
#include <cstring>

#include "agora/kernels/table.h"

namespace agora::kernels::cpu {

constexpr int64_t kTileRows = 16;
constexpr int64_t kTileSteps = 16;                 // steps of one tile: 32 inner elements
constexpr int64_t kBlockTileRows = 2 * kTileRows;  // rows of a block of 2 x 2 tiles
constexpr int64_t kInnerSteps = 256;               // steps that A's copy holds: 32 KiB

// A's rows where tiles can load them: 32 rows, the inner dimension in whole tiles, zeros where there is
// nothing.
struct TileRows {
  const bf16* data;
  int64_t row;  // elements from row to row
};

// Shared by all tiles of one call.
template <class Tiles>
class TileProduct {
 public:
  TileProduct(const Block<bf16>& block, Tiles& tiles) : block_(block), tiles_(tiles) {
    const int64_t row_blocks = (block.rows + kBlockTileRows - 1) / kBlockTileRows;
    constexpr int64_t kLines =
        kGroupPanels * kTileSteps / 2;  // two pairs of panels share the work of fetching four
    lines_per_step_ = (kLines + row_blocks - 1) / row_blocks;
  }

  void run() {
    if (block_.steps == 0) {
      for (int64_t r = 0; r < block_.rows && !block_.add; ++r) {
        std::fill_n(block_.c + r * block_.c_row, block_.panels * kPanelWidth, 0.0f);
      }
      return;
    }
    tiles_.begin();
    for (int64_t step = 0; step < block_.steps; step += kInnerSteps) {
      const int64_t steps = std::min(kInnerSteps, block_.steps - step);
      for (int64_t row = 0; row < block_.rows; row += kBlockTileRows) {
        const int64_t rows = std::min(kBlockTileRows, block_.rows - row);
        const TileRows a = prepare(row, rows, step, steps);
        for (int64_t panel = 0; panel < block_.panels; panel += 2) {
          multiply_pair(a, row, rows, panel, step, steps);
        }
      }
    }
    tiles_.end();
  }

 private:
  // A's block as tiles read it: where it lies if that will do, else a copy.
  TileRows prepare(int64_t row, int64_t rows, int64_t step, int64_t steps) {
    const bf16* from = block_.a + row / kTileRows * block_.a_panel + step * block_.a_step;
    const bool as_rows = block_.a_step == kStep<bf16>;
    const bool in_line = block_.a_panel == kTileRows * block_.a_row;
    if (as_rows && in_line && rows == kBlockTileRows && steps % kTileSteps == 0) return {from, block_.a_row};
    const int64_t width = round_up(steps, kTileSteps) * kStep<bf16>;
    if (as_rows) {
      copy_rows(from, rows, steps, width);
    } else {
      copy_transposed(from, rows, steps, width);
    }
    tiles_.written();
    return {copy_, width};
  }

  void copy_rows(const bf16* from, int64_t rows, int64_t steps, int64_t width) {
    for (int64_t r = 0; r < kBlockTileRows; ++r) {
      bf16* to = copy_ + r * width;
      const int64_t numbers = r < rows ? steps * kStep<bf16> : 0;
      const bf16* row = from + r / kTileRows * block_.a_panel + r % kTileRows * block_.a_row;
      if (numbers > 0) std::memcpy(to, row, static_cast<size_t>(numbers) * sizeof(bf16));
      std::fill(to + numbers, to + width, bf16{});
    }
  }

  // A stands in panels, its columns are the rows that tiles want: words of 32 bits (a step of one row) change
  // places.
  void copy_transposed(const bf16* from, int64_t rows, int64_t steps, int64_t width) {
    for (int64_t half = 0; half < kBlockTileRows; half += kTileRows) {
      for (int64_t s = 0; s < steps; s += kTileSteps) {
        bf16* to = copy_ + half * width + s * kStep<bf16>;
        const bf16* tile = from + half / kTileRows * block_.a_panel + s * block_.a_step;
        const int64_t count = std::min(kTileSteps, steps - s);
        if (half < rows && rows - half >= kTileRows && count == kTileSteps) {
          tiles_.transpose(tile, to, width);
          continue;
        }
        for (int64_t r = 0; r < kTileRows; ++r) {
          std::fill_n(to + r * width, kTileSteps * kStep<bf16>, bf16{});
          for (int64_t i = 0; i < count && half + r < rows; ++i) {
            std::memcpy(to + r * width + i * kStep<bf16>, tile + i * block_.a_step + r * block_.a_row,
                        kStep<bf16> * sizeof(bf16));
          }
        }
      }
    }
  }

  // Up to 32 rows against one or two panels.
  void multiply_pair(const TileRows& a, int64_t row, int64_t rows, int64_t panel, int64_t step,
                     int64_t steps) {
    float* c = block_.c + row * block_.c_row + panel * kPanelWidth;
    const int64_t panels = std::min<int64_t>(2, block_.panels - panel);
    const bool add = block_.add || step > 0;
    const bool whole = rows == kBlockTileRows;
    fetch_next_rows(c, row, rows, panel);
    alignas(64) float edge[kBlockTileRows * 2 * kPanelWidth];
    float* sums = whole ? c : edge;
    const int64_t sums_row = whole ? block_.c_row : 2 * kPanelWidth;
    if (!whole && add) {
      copy_block(c, block_.c_row, edge, 2 * kPanelWidth, rows, panels);
      tiles_.written();
    }
    const bf16* b = block_.b + panel * block_.b_panel + step * kStep<bf16> * kPanelWidth;
    if (rows > kTileRows) {
      panels == 2 ? sum<2, 2>(a, b, steps, sums, sums_row, add) : sum<2, 1>(a, b, steps, sums, sums_row, add);
    } else {
      panels == 2 ? sum<1, 2>(a, b, steps, sums, sums_row, add) : sum<1, 1>(a, b, steps, sums, sums_row, add);
    }
    if (!whole) copy_block(edge, 2 * kPanelWidth, c, block_.c_row, rows, panels);
  }

  static void copy_block(const float* from, int64_t from_row, float* to, int64_t to_row, int64_t rows,
                         int64_t panels) {
    for (int64_t r = 0; r < rows; ++r)
      std::copy_n(from + r * from_row, panels * kPanelWidth, to + r * to_row);
  }

  // R x P tiles of sums over the steps.
  template <int R, int P>
  void sum(const TileRows& a, const bf16* b, int64_t steps, float* c, int64_t c_row, bool add) {
    const int64_t c_bytes = c_row * int64_t{sizeof(float)};
    start<0, R, P>(c, c_bytes, add);
    start<1, R, P>(c, c_bytes, add);
    start<2, R, P>(c, c_bytes, add);
    start<3, R, P>(c, c_bytes, add);
    int64_t s = 0;
    for (; s + kTileSteps <= steps; s += kTileSteps) {
      fetch_next_b();
      step_tiles<R, P>(a, s, b + s * kStep<bf16> * kPanelWidth, block_.b_panel);
    }
    if (s < steps) {
      alignas(64) bf16 rest[P][kTileSteps * kStep<bf16> * kPanelWidth] = {};
      for (int p = 0; p < P; ++p) {
        std::memcpy(rest[p], b + p * block_.b_panel + s * kStep<bf16> * kPanelWidth,
                    static_cast<size_t>((steps - s) * kStep<bf16> * kPanelWidth) * sizeof(bf16));
      }
      tiles_.written();
      step_tiles<R, P>(a, s, rest[0], kTileSteps * kStep<bf16> * kPanelWidth);
    }
    finish<0, R, P>(c, c_bytes);
    finish<1, R, P>(c, c_bytes);
    finish<2, R, P>(c, c_bytes);
    finish<3, R, P>(c, c_bytes);
    tiles_.written();
  }

  // Tile N of the sums stands at row N / 2, panel N % 2 of the block.
  template <int N, int R, int P>
  void start(const float* c, int64_t c_bytes, bool add) {
    if constexpr (N / 2 < R && N % 2 < P) {
      if (add) {
        tiles_.template load<N>(at<N>(c, c_bytes), c_bytes);
      } else {
        tiles_.template zero<N>();
      }
    }
  }
  template <int N, int R, int P>
  void finish(float* c, int64_t c_bytes) {
    if constexpr (N / 2 < R && N % 2 < P) tiles_.template store<N>(at<N>(c, c_bytes), c_bytes);
  }
  template <int N, class Float>
  static Float* at(Float* c, int64_t c_bytes) {
    return c + N / 2 * kTileRows * (c_bytes / int64_t{sizeof(float)}) + N % 2 * kPanelWidth;
  }

  template <int R, int P>
  void step_tiles(const TileRows& a, int64_t s, const bf16* b, int64_t b_panel) {
    constexpr int64_t kPanelLine = kStep<bf16> * kPanelWidth * int64_t{sizeof(bf16)};
    const int64_t a_bytes = a.row * int64_t{sizeof(bf16)};
    const bf16* a_at = a.data + s * kStep<bf16>;
    tiles_.template load<6>(b, kPanelLine);
    tiles_.template load<4>(a_at, a_bytes);
    tiles_.template multiply<0, 4, 6>();
    if constexpr (P == 2) {
      tiles_.template load<7>(b + b_panel, kPanelLine);
      tiles_.template multiply<1, 4, 7>();
    }
    if constexpr (R == 2) {
      tiles_.template load<5>(a_at + kTileRows * a.row, a_bytes);
      tiles_.template multiply<2, 5, 6>();
      if constexpr (P == 2) tiles_.template multiply<3, 5, 7>();
    }
  }

  // The next weights, spread over all tile steps of this block.
  void fetch_next_b() {
    if (block_.next_b == nullptr) return;
    for (int64_t i = 0; i < lines_per_step_ && next_line_ < kGroupPanels * block_.steps; ++i, ++next_line_) {
      const int64_t panel = next_line_ / block_.steps;
      __builtin_prefetch(
          block_.next_b + panel * block_.b_panel + next_line_ % block_.steps * kStep<bf16> * kPanelWidth, 0,
          2);
    }
  }

  // What is written next: while C is added to, its next pair of panels; at the end of a row what the block
  // says.
  void fetch_next_rows(const float* c, int64_t row, int64_t rows, int64_t panel) {
    const bool more = panel + 2 < block_.panels;
    if (more && !block_.add) return;
    const NextRows next =
        more ? next_rows_of(c + 2 * kPanelWidth, block_.c_row, 2 * kPanelWidth) : block_.next_rows;
    for (int64_t r = 0; r < rows; ++r) {
      const char* at = next.row(more ? r : row + r);
      for (int64_t line = 0; line < next.lines; ++line) __builtin_prefetch(at + 64 * line, 1);
    }
  }

  const Block<bf16>& block_;
  Tiles& tiles_;
  int64_t lines_per_step_ = 0;
  int64_t next_line_ = 0;
  alignas(64) bf16 copy_[kBlockTileRows * kInnerSteps * kStep<bf16>];
};

template <class Tiles>
void product_on_tiles(const Block<bf16>& block, Tiles& tiles) {
  TileProduct<Tiles>(block, tiles).run();
}

}  // namespace agora::kernels::cpu
