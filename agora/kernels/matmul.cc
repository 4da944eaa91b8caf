#include "agora/kernels/matmul.h"

#include "agora/kernels/product.h"
#include "agora/kernels/workspace.h"

namespace agora::kernels {
namespace {

int64_t blocks_of(int64_t n, int64_t block) { return (n + block - 1) / block; }

// Rows as the products read them: f32 where they lie, bf16 rounded into `memory`.
template <class T>
RowsOf<T> prepare_rows(const Compute& compute, View<const float> x, T* memory) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return {x.data, x.row_stride, x.rows};
  } else {
    const int64_t stride = steps_of<T>(x.cols) * kStep<T>;
    constexpr int64_t kRows = 32;  // of one piece
    compute.pool->run_ranges(x.rows, kRows, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        compute.table->loops<T>().round(x.row(t), x.cols, stride, memory + t * stride);
      }
    });
    return {memory, stride, x.rows};
  }
}

template <class T>
void matmul_as(const Compute& compute, View<const float> x, const PackedMatrix& b, View<float> y,
               Write write) {
  Workspace own;
  Workspace& workspace = compute.workspace == nullptr ? own : *compute.workspace;
  Arena size;
  if constexpr (sizeof(T) == 2) size.take<T>(x.rows * steps_of<T>(x.cols) * kStep<T>);
  const Workspace::Lease lease = workspace.lease(size.used());
  Arena arena(lease.data());
  const RowsOf<T> rows = prepare_rows<T>(compute, x, arena.take<T>(0));
  const PanelsOf<T> panels = panels_of<T>(b);
  const Job job{x.rows, x.cols, b.panels()};
  const std::vector<Piece> pieces = cut({&job, 1}, compute.pool->threads());
  const Loops<T>& loops = compute.table->loops<T>();
  compute.pool->run(static_cast<int64_t>(pieces.size()), [&](int64_t i) {
    const Piece& piece = pieces[i];
    const RowsOf<T> a = rows_of(rows.data + piece.row * rows.row_stride, rows.row_stride, piece.rows);
    const int64_t whole = panels.steps <= kBlockSteps ? b.outputs() / kPanelWidth : 0;
    const int64_t direct_end = std::clamp<int64_t>(whole, piece.panel_begin, piece.panel_end);
    product_direct(loops, a, panels, piece.panel_begin, direct_end, y.row(piece.row), y.row_stride, write);
    product_tiles(loops, a, panels, direct_end, piece.panel_end,
                  rows_of(y.row(piece.row), y.row_stride, piece.rows),
                  [&](int64_t panel, int64_t tile_panels, const float* tile) {
                    const int64_t column = panel * kPanelWidth;
                    const int64_t columns = std::min(tile_panels * kPanelWidth, y.cols - column);
                    for (int64_t r = 0; r < piece.rows; ++r) {
                      compute.table->write_row(tile + r * kTileWidth, nullptr, 1.0f, columns, write,
                                               y.row(piece.row + r) + column);
                    }
                  });
  });
}

// Rows begin .. begin + rows - 1 of x as panels whose inner dimension is the rows.
template <class T>
void pack_batch(const Compute& compute, View<const float> x, int64_t begin, int64_t rows, T* panels) {
  constexpr int64_t kSteps = 32;  // of one piece
  compute.pool->run_ranges(steps_of<T>(rows), kSteps, [&](int64_t first, int64_t end) {
    for (int64_t s = first; s < end; ++s) {
      const int64_t t = begin + s * kStep<T>;
      const float* second = kStep<T> == 2 && t + 1 < begin + rows ? x.row(t + 1) : nullptr;
      compute.table->loops<T>().pack_step(x.row(t), second, 1.0f, 1.0f, x.cols,
                                          panels + s * kStep<T> * kPanelWidth, panel_size<T>(rows));
    }
  });
}

template <class T>
void gradient_as(const Compute& compute, View<const float> x, View<const float> dy, View<float> dweight) {
  constexpr int64_t kSlabRows =
      1024;  // packed at a time: bounds the memory, and the panels stay in the caches
  constexpr int64_t kColumnPanels =
      16;  // of a piece: with 512 rows their panels are 256 KiB, in second-level cache
  constexpr int64_t kOutputsMin = 32;  // of a piece
  const int64_t x_panels = blocks_of(x.cols, kPanelWidth);
  const int64_t dy_panels = blocks_of(dy.cols, kPanelWidth);
  const int64_t slab = std::min(x.rows, kSlabRows);
  Workspace own;
  Workspace& workspace = compute.workspace == nullptr ? own : *compute.workspace;
  Arena size;
  size.take<T>(x_panels * panel_size<T>(slab));
  size.take<T>(dy_panels * panel_size<T>(slab));
  const Workspace::Lease lease = workspace.lease(size.used());
  for (int64_t begin = 0; begin < x.rows; begin += kSlabRows) {
    const int64_t rows = std::min(kSlabRows, x.rows - begin);
    const int64_t panel = panel_size<T>(rows);
    Arena arena(lease.data());
    T* b = arena.take<T>(x_panels * panel);
    T* a = arena.take<T>(dy_panels * panel);
    pack_batch(compute, x, begin, rows, b);
    pack_batch(compute, dy, begin, rows, a);
    const int64_t column_pieces = blocks_of(x_panels, kColumnPanels);
    const int64_t output_pieces = blocks_of(dy.cols, kOutputsMin);
    compute.pool->run(column_pieces * output_pieces, [&](int64_t piece) {
      const int64_t p = piece % column_pieces * kColumnPanels;
      const int64_t n = piece / column_pieces * kOutputsMin;
      const int64_t column = p * kPanelWidth;
      accumulate_gradient(compute.table->loops<T>(),
                          GradientTask<T>{.a = {a + n / kPanelWidth * panel, panel, steps_of<T>(rows)},
                                          .b = {b + p * panel, panel, steps_of<T>(rows)},
                                          .outputs = std::min(kOutputsMin, dy.cols - n),
                                          .columns = std::min(kColumnPanels * kPanelWidth, x.cols - column),
                                          .c = dweight.row(n) + column,
                                          .c_row = dweight.row_stride});
    });
  }
}

}  // namespace

void matmul(const Compute& compute, View<const float> x, const PackedMatrix& b, View<float> y, Write write) {
  AGORA_CHECK_EQ(x.cols, b.inner());
  AGORA_CHECK_EQ(y.cols, b.outputs());
  AGORA_CHECK_EQ(x.rows, y.rows);
  AGORA_CHECK(b.precision() == compute.precision);
  if (y.empty()) return;
  if (compute.precision == Precision::bf16) {
    matmul_as<bf16>(compute, x, b, y, write);
  } else {
    matmul_as<float>(compute, x, b, y, write);
  }
}

void matmul_gradient(const Compute& compute, View<const float> x, View<const float> dy, View<float> dweight) {
  AGORA_CHECK_EQ(x.rows, dy.rows);
  AGORA_CHECK_EQ(dweight.rows, dy.cols);
  AGORA_CHECK_EQ(dweight.cols, x.cols);
  if (x.empty() || dy.empty()) return;
  if (compute.precision == Precision::bf16) {
    gradient_as<bf16>(compute, x, dy, dweight);
  } else {
    gradient_as<float>(compute, x, dy, dweight);
  }
}

}  // namespace agora::kernels
