// Products cut to the caches, for the inside of one piece of a parallel loop. Shared by matmul and the
// experts.
//
//   product_tiles(loops, {x_rows, row_stride, rows}, {panels, panel_stride, steps}, p_begin, p_end,
//                 out, [&](int64_t panel, int64_t panels, const float* tile) { ... });   // rows x kTileWidth
//   accumulate_gradient(loops, dy_panels, outputs, x_panels, inputs, steps, dweight, row_stride);
//
// Any thread: all state is on the stack (the tile, 32 KiB).
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "agora/kernels/table.h"

namespace agora::kernels {

// Rows that share a visit of the weights: their inputs (2 KiB a row for K = 1024) and the tile stay in the
// second-level cache beside the weights of a group, and each weight that comes from memory serves up to 256
// operations.
constexpr int64_t kBlockRows = 128;
constexpr int64_t kTileWidth = kGroupPanels * kPanelWidth;
// Inner steps at a time: a group's weights are then 64 KiB. Sums continue in the tile, so a cut between whole
// sums is not visible in results. Few rows take all steps: nothing has to stay in a cache for them, and
// memory gives long runs faster (by 12 % for K = 2048 on Zen 5).
constexpr int64_t kBlockSteps = 256;
// AMX adds the products of so many steps up by themselves and then to the sum: a cut within them would round
// otherwise.
constexpr int64_t kWholeSteps = 16;
static_assert(kBlockSteps % kWholeSteps == 0);

template <class T>
struct RowsOf {
  const T* data;
  int64_t row_stride;
  int64_t rows;  // <= kBlockRows
};

template <class T>
struct PanelsOf {
  const T* data;
  int64_t panel_stride;
  int64_t steps;
};

template <class T>
RowsOf<T> rows_of(const T* data, int64_t row_stride, int64_t rows) {
  return {data, row_stride, rows};
}

template <class T>
PanelsOf<T> panels_of(const PackedMatrix& matrix) {
  return {matrix.panel<T>(0), panel_size<T>(matrix.inner()), steps_of<T>(matrix.inner())};
}

// The last of them may be smaller.
constexpr int64_t blocks_of(int64_t n, int64_t block) { return (n + block - 1) / block; }

// Steps per block when `steps` are cut as evenly as whole sums can be.
inline int64_t block_steps(int64_t steps) {
  const int64_t blocks = std::max<int64_t>(1, blocks_of(steps, kBlockSteps));
  return std::max(kWholeSteps, round_up(blocks_of(steps, blocks), kWholeSteps));
}

// `out` says where finish will write its columns (for panel p from column 16 p on), so that they are fetched
// in time; its data may be null. Calls finish(first panel, panels, tile) for every group of up to four panels
// of [panel_begin, panel_end), once its sums are complete. panel_begin is a multiple of kGroupPanels.
template <class T, class U, class Finish>
void product_tiles(const Loops<T>& loops, const RowsOf<T>& a, const PanelsOf<T>& b, int64_t panel_begin,
                   int64_t panel_end, const RowsOf<U>& out, Finish&& finish) {
  alignas(64) float tile[kBlockRows * kTileWidth];
  constexpr int64_t kStepSize = kStep<T> * kPanelWidth;
  const int64_t steps_each = a.rows <= kFewRows ? std::max<int64_t>(1, b.steps) : block_steps(b.steps);
  Block<T> block;
  block.b_panel = b.panel_stride;
  block.c = tile;
  block.c_row = kTileWidth;
  block.rows = a.rows;
  for (int64_t panel = panel_begin; panel < panel_end; panel += kGroupPanels) {
    block.panels = std::min(kGroupPanels, panel_end - panel);
    for (int64_t step = 0; step < std::max<int64_t>(1, b.steps); step += steps_each) {
      block.set_rows(a.data + step * kStep<T>, a.row_stride);
      block.steps = std::min(steps_each, b.steps - step);
      block.b = b.data + panel * b.panel_stride + step * kStepSize;
      block.add = step > 0;
      const bool more_steps = step + steps_each < b.steps;
      const bool more_panels = panel + 2 * kGroupPanels <= panel_end;
      block.next_b = more_steps    ? block.b + steps_each * kStepSize
                     : more_panels ? b.data + (panel + kGroupPanels) * b.panel_stride
                                   : nullptr;
      if (more_steps && (block.panels < kGroupPanels || step + 2 * steps_each > b.steps))
        block.next_b = nullptr;
      const bool written_next = !more_steps && out.data != nullptr;
      block.next_rows = written_next ? next_rows_of(out.data + panel * kPanelWidth, out.row_stride,
                                                    block.panels * kPanelWidth)
                                     : NextRows{};
      loops.product(block);
    }
    finish(panel, block.panels, static_cast<const float*>(tile));
  }
}

// The same without a tile of its own, for products whose steps are one block: whole panels go straight to c.
template <class T>
void product_direct(const Loops<T>& loops, const RowsOf<T>& a, const PanelsOf<T>& b, int64_t panel_begin,
                    int64_t panel_end, float* c, int64_t c_row, Write write) {
  Block<T> block;
  block.set_rows(a.data, a.row_stride);
  block.b_panel = b.panel_stride;
  block.c_row = c_row;
  block.rows = a.rows;
  block.steps = b.steps;
  block.add = write == Write::add;
  for (int64_t panel = panel_begin; panel < panel_end; panel += kGroupPanels) {
    const bool more = panel + 2 * kGroupPanels <= panel_end;
    block.panels = std::min(kGroupPanels, panel_end - panel);
    block.b = b.data + panel * b.panel_stride;
    block.next_b = more ? block.b + kGroupPanels * b.panel_stride : nullptr;
    block.c = c + panel * kPanelWidth;
    block.next_rows = more ? next_rows_of(block.c + kTileWidth, c_row, kTileWidth) : NextRows{};
    loops.product(block);
  }
}

// c[outputs, columns] += A^T . B for a run of outputs. A and B are packed with the rows of the batch as inner
// dimension: A's panels hold the outputs (as stored in dy), B's the columns. Rows of the batch are added in
// ascending order.
template <class T>
struct GradientTask {
  PanelsOf<T> a;  // of dy: panel_stride may skip panels (gate and up in turn)
  PanelsOf<T> b;  // of x; the same steps
  int64_t outputs;
  int64_t columns;
  float* c;
  int64_t c_row;
};

template <class T>
void accumulate_gradient(const Loops<T>& loops, const GradientTask<T>& task) {
  constexpr int64_t kRows = 2 * kPanelWidth;  // outputs that share a visit of B: two tiles of AMX
  constexpr int64_t kStepSize = kStep<T> * kPanelWidth;
  const int64_t whole = task.columns / kPanelWidth;
  const int64_t tail = task.columns % kPanelWidth;
  const int64_t steps_each = block_steps(task.b.steps);
  for (int64_t step = 0; step < task.b.steps; step += steps_each) {
    Block<T> block;
    block.b = task.b.data + step * kStepSize;
    block.b_panel = task.b.panel_stride;
    block.steps = std::min(steps_each, task.b.steps - step);
    block.add = true;
    for (int64_t row = 0; row < task.outputs; row += kRows) {
      block.set_panels(task.a.data + row / kPanelWidth * task.a.panel_stride + step * kStepSize,
                       task.a.panel_stride);
      block.rows = std::min(kRows, task.outputs - row);
      block.panels = whole;
      block.c = task.c + row * task.c_row;
      const bool more = row + kRows < task.outputs;
      block.next_rows =
          more ? next_rows_of(block.c + kRows * task.c_row, task.c_row, kTileWidth) : NextRows{};
      block.c_row = task.c_row;
      if (whole > 0) loops.product(block);
      if (tail == 0) continue;
      alignas(64) float edge[kRows * kPanelWidth] = {};
      Block<T> last = block;
      last.b += whole * task.b.panel_stride;
      last.panels = 1;
      last.c = edge;
      last.next_rows = {};
      last.c_row = kPanelWidth;
      for (int64_t r = 0; r < block.rows; ++r) {
        std::copy_n(block.c + r * task.c_row + whole * kPanelWidth, tail, edge + r * kPanelWidth);
      }
      loops.product(last);
      for (int64_t r = 0; r < block.rows; ++r) {
        std::copy_n(edge + r * kPanelWidth, tail, block.c + r * task.c_row + whole * kPanelWidth);
      }
    }
  }
}

// One product among those of a parallel stage, and a piece of it: a block of rows against a run of panels.
struct Job {
  int64_t rows;
  int64_t inner;
  int64_t panels;
};
struct Piece {
  int32_t job;
  int32_t row;
  int32_t rows;
  int32_t panel_begin;
  int32_t panel_end;
};

// Cuts all jobs of a stage. Pieces are large at first, so that weights stream on without a break, and small
// at the end, so that the threads finish together. Pieces that share weights come one after the other.
std::vector<Piece> cut(std::span<const Job> jobs, int threads);
// The same rows in blocks of `block`, all panels in one: for stages that work on whole rows.
std::vector<Piece> cut_rows(std::span<const Job> jobs, int64_t block);

}  // namespace agora::kernels
