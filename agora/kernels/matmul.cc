#include "agora/kernels/matmul.h"

#include "agora/kernels/product.h"
#include "agora/kernels/workspace.h"

namespace agora::kernels {
namespace {

// Bytes of the rows of x as the products read them, beside x itself.
template <class T>
int64_t prepared_size(View<const float> x) {
  return sizeof(T) == sizeof(float) ? 0 : x.rows * steps_of<T>(x.cols) * kStep<T>;
}

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

// y (=, +=) rows . b for one piece of it.
template <class T>
void multiply_piece(const Compute& compute, const RowsOf<T>& rows, const PackedMatrix& b, const Piece& piece,
                    View<float> y, Write write) {
  const Loops<T>& loops = compute.table->loops<T>();
  const PanelsOf<T> panels = panels_of<T>(b);
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
}

template <class T>
void each_as(const Compute& compute, View<const float> x, std::span<const MatmulOutput> products,
             Write write) {
  CallWorkspace workspace(compute);
  Arena size;
  size.take<T>(prepared_size<T>(x));
  const Workspace::Lease lease = workspace.lease(size.used());
  const RowsOf<T> rows = prepare_rows<T>(compute, x, reinterpret_cast<T*>(lease.data()));
  std::vector<Job> jobs;
  for (const MatmulOutput& product : products) jobs.push_back({x.rows, x.cols, product.b->panels()});
  const std::vector<Piece> pieces = cut(jobs, compute.pool->threads());
  compute.pool->run(static_cast<int64_t>(pieces.size()), [&](int64_t i) {
    const MatmulOutput& product = products[static_cast<size_t>(pieces[i].job)];
    multiply_piece(compute, rows, *product.b, pieces[i], product.y, write);
  });
}

// Every piece takes the terms in their order: its part of y stays in the caches.
template <class T>
void sum_as(const Compute& compute, std::span<const MatmulTerm> terms, View<float> y, Write write) {
  CallWorkspace workspace(compute);
  Arena size;
  Job job{y.rows, 0, blocks_of(y.cols, kPanelWidth)};
  for (const MatmulTerm& term : terms) {
    size.take<T>(prepared_size<T>(term.x));
    job.inner += term.x.cols;
  }
  const Workspace::Lease lease = workspace.lease(size.used());
  Arena arena(lease.data());
  std::vector<RowsOf<T>> rows;
  for (const MatmulTerm& term : terms) {
    rows.push_back(prepare_rows<T>(compute, term.x, arena.take<T>(prepared_size<T>(term.x))));
  }
  const std::vector<Piece> pieces = cut({&job, 1}, compute.pool->threads());
  compute.pool->run(static_cast<int64_t>(pieces.size()), [&](int64_t i) {
    for (size_t j = 0; j < terms.size(); ++j) {
      multiply_piece(compute, rows[j], *terms[j].b, pieces[i], y, j == 0 ? write : Write::add);
    }
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

// One slab of rows: x is packed into b, each dy behind the other into a.
template <class T>
void gradient_slab(const Compute& compute, View<const float> x, std::span<const MatmulGradient> gradients,
                   int64_t begin, int64_t rows, T* b, T* a) {
  constexpr int64_t kColumnPanels =
      16;  // of a piece: with 512 rows their panels are 256 KiB, in second-level cache
  constexpr int64_t kOutputsMin = 32;  // of a piece
  const int64_t panel = panel_size<T>(rows);
  const int64_t column_pieces = blocks_of(blocks_of(x.cols, kPanelWidth), kColumnPanels);
  struct Part {
    const MatmulGradient* gradient;
    const T* a;
    int64_t output;
  };
  std::vector<Part> parts;
  pack_batch(compute, x, begin, rows, b);
  for (const MatmulGradient& gradient : gradients) {
    pack_batch(compute, gradient.dy, begin, rows, a);
    for (int64_t n = 0; n < gradient.dy.cols; n += kOutputsMin) {
      parts.push_back({&gradient, a + n / kPanelWidth * panel, n});
    }
    a += blocks_of(gradient.dy.cols, kPanelWidth) * panel;
  }
  compute.pool->run(column_pieces * std::ssize(parts), [&](int64_t piece) {
    const Part& part = parts[static_cast<size_t>(piece / column_pieces)];
    const View<float> dweight = part.gradient->dweight;
    const int64_t p = piece % column_pieces * kColumnPanels;
    const int64_t column = p * kPanelWidth;
    accumulate_gradient(compute.table->loops<T>(),
                        GradientTask<T>{.a = {part.a, panel, steps_of<T>(rows)},
                                        .b = {b + p * panel, panel, steps_of<T>(rows)},
                                        .outputs = std::min(kOutputsMin, dweight.rows - part.output),
                                        .columns = std::min(kColumnPanels * kPanelWidth, x.cols - column),
                                        .c = dweight.row(part.output) + column,
                                        .c_row = dweight.row_stride});
  });
}

template <class T>
void gradient_as(const Compute& compute, View<const float> x, std::span<const MatmulGradient> gradients) {
  constexpr int64_t kSlabRows =
      1024;  // packed at a time: bounds the memory, and the panels stay in the caches
  const int64_t x_panels = blocks_of(x.cols, kPanelWidth);
  int64_t dy_panels = 0;
  for (const MatmulGradient& gradient : gradients) dy_panels += blocks_of(gradient.dy.cols, kPanelWidth);
  const int64_t slab = panel_size<T>(std::min(x.rows, kSlabRows));
  CallWorkspace workspace(compute);
  const Workspace::Lease lease = workspace.lease((x_panels + dy_panels) * slab * int64_t{sizeof(T)});
  T* b = reinterpret_cast<T*>(lease.data());
  for (int64_t begin = 0; begin < x.rows; begin += kSlabRows) {
    gradient_slab(compute, x, gradients, begin, std::min(kSlabRows, x.rows - begin), b, b + x_panels * slab);
  }
}

void check_product(const Compute& compute, View<const float> x, const PackedMatrix& b, View<float> y) {
  AGORA_CHECK_EQ(x.cols, b.inner());
  AGORA_CHECK_EQ(y.cols, b.outputs());
  AGORA_CHECK_EQ(x.rows, y.rows);
  AGORA_CHECK(b.precision() == compute.precision);
}

}  // namespace

void matmul(const Compute& compute, View<const float> x, const PackedMatrix& b, View<float> y, Write write) {
  const MatmulOutput product{&b, y};
  matmul_each(compute, x, {&product, 1}, write);
}

void matmul_each(const Compute& compute, View<const float> x, std::span<const MatmulOutput> products,
                 Write write) {
  for (const MatmulOutput& product : products) check_product(compute, x, *product.b, product.y);
  if (x.rows == 0) return;
  if (compute.precision == Precision::bf16) {
    each_as<bf16>(compute, x, products, write);
  } else {
    each_as<float>(compute, x, products, write);
  }
}

void matmul_sum(const Compute& compute, std::span<const MatmulTerm> terms, View<float> y, Write write) {
  for (const MatmulTerm& term : terms) check_product(compute, term.x, *term.b, y);
  if (y.empty()) return;
  if (compute.precision == Precision::bf16) {
    sum_as<bf16>(compute, terms, y, write);
  } else {
    sum_as<float>(compute, terms, y, write);
  }
}

void matmul_gradient(const Compute& compute, View<const float> x, View<const float> dy, View<float> dweight) {
  const MatmulGradient gradient{dy, dweight};
  matmul_gradient_each(compute, x, {&gradient, 1});
}

void matmul_gradient_each(const Compute& compute, View<const float> x,
                          std::span<const MatmulGradient> gradients) {
  for (const MatmulGradient& gradient : gradients) {
    AGORA_CHECK_EQ(x.rows, gradient.dy.rows);
    AGORA_CHECK_EQ(gradient.dweight.rows, gradient.dy.cols);
    AGORA_CHECK_EQ(gradient.dweight.cols, x.cols);
  }
  if (x.empty()) return;
  if (compute.precision == Precision::bf16) {
    gradient_as<bf16>(compute, x, gradients);
  } else {
    gradient_as<float>(compute, x, gradients);
  }
}

}  // namespace agora::kernels
