// The inner loops for one kind of processor, chosen once and passed along in Compute.
//
//   const Table& table = best_table(cpu_features());
//   const Table* forced = find_table("portable", cpu_features());        // nullptr: unknown here
//   for (const Table* each : all_tables(cpu_features())) ...             // all that this machine can run
//
// Names: "amx", "avx512_bf16", "portable" (the best of the next), "portable_avx3", "portable_avx2" and other
// targets, "reference" (plain loops). All read the same packed panels and round alike to bf16; they differ in
// the order of a few additions, so results of two tables agree to rounding, while each table is exact about
// the promises of matmul.h. Any thread. Tables are constants.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "agora/kernels/compute.h"
#include "agora/kernels/cpu_features.h"
#include "agora/kernels/expert_ffn.h"
#include "agora/tensor/dtype.h"

namespace agora::kernels {

constexpr int64_t kPanelWidth = 16;  // outputs of one panel: a row of an AMX tile, a register of AVX-512
constexpr int64_t kGroupPanels = 4;  // panels that a register block spans
constexpr int64_t kFewRows = 12;     // so few use a weight so seldom that its way from memory is the work

// Inner elements that lie together in a panel, [inner / kStep][16][kStep]: pairs for bf16, as the dot
// products want them.
template <class T>
inline constexpr int64_t kStep = sizeof(T) == 2 ? 2 : 1;

// Whole panels, whole steps.
constexpr int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }
template <class T>
constexpr int64_t steps_of(int64_t inner) {
  return (inner + kStep<T> - 1) / kStep<T>;
}
template <class T>
constexpr int64_t panel_size(int64_t inner) {  // elements
  return steps_of<T>(inner) * kStep<T> * kPanelWidth;
}

// Memory that will be written soon, row r of it with row r of the block at hand.
struct NextRows {
  const void* data = nullptr;  // null: none
  int64_t row_bytes = 0;       // from row to row
  int64_t lines = 0;           // cache lines of each row

  const char* row(int64_t r) const { return static_cast<const char*>(data) + r * row_bytes; }
};
// `columns` of U from `data` on.
template <class U>
NextRows next_rows_of(const U* data, int64_t row_stride, int64_t columns) {
  constexpr auto kSize = static_cast<int64_t>(sizeof(U));
  return {data, row_stride * kSize, (columns * kSize + 63) / 64};
}

// One block of a product: C[rows, 16 * panels] = A[rows, steps] . B, or C += it. Every element is one sum
// that takes the steps in ascending order, starting from 0 or from C; it does not depend on `rows` or
// `panels`.
template <class T>
struct Block {
  const T* a =
      nullptr;  // step s of row r: kStep elements at a + (r / 16) * a_panel + (r % 16) * a_row + s * a_step
  int64_t a_row = 0;
  int64_t a_step = kStep<T>;
  int64_t a_panel = 0;
  const T* b = nullptr;  // panel p at b + p * b_panel
  int64_t b_panel = 0;
  float* c = nullptr;
  int64_t c_row = 0;
  int64_t rows = 0;
  int64_t panels = 0;
  int64_t steps = 0;
  bool add = false;
  // What comes after this block, brought into the cache meanwhile: the next kGroupPanels panels (may be
  // null), and the rows that are written next. Groups of panels within a block fetch each other's C.
  const T* next_b = nullptr;
  NextRows next_rows;

  // A as rows that lie one after the other (the product) ...
  void set_rows(const T* data, int64_t row_stride) {
    a = data;
    a_row = row_stride;
    a_step = kStep<T>;
    a_panel = kPanelWidth * row_stride;
  }
  // ... or as the columns of panels (the gradient: A is a transposed matrix).
  void set_panels(const T* data, int64_t panel_stride) {
    a = data;
    a_row = kStep<T>;
    a_step = kStep<T> * kPanelWidth;
    a_panel = panel_stride;
  }
};

// Rows of an activation's work; columns are those of whole hidden panels. `pre` holds the products before the
// activation: for swiglu 16 gate columns, 16 up columns, and so on; otherwise one column for each hidden one.
template <class T>
struct ActivationForward {
  Activation activation;
  int64_t rows, panels;
  const float* pre;
  int64_t pre_row;
  const float* bias;  // [16 * panels], may be null (swiglu has none)
  T* saved;           // pre + bias, [rows], may be null
  int64_t saved_row;
  T* hidden;  // act(pre + bias)
  int64_t hidden_row;
};

template <class T>
struct ActivationBackward {
  Activation activation;
  int64_t rows, panels;
  const float* dhidden;  // [rows, 16 * panels], before the gate's weight
  int64_t dhidden_row;
  const T* saved;
  int64_t saved_row;
  const float* weights;  // [rows]
  T* dpre;               // weight * gradient before the activation, in rows
  int64_t dpre_row;
  T* dpre_panels;  // the same, and act(pre), in panels whose inner dimension is the rows
  T* hidden_panels;
  int64_t panel_stride;
  float* dots;  // [rows] dhidden . act(pre), the sum over these panels
  int64_t dots_row;
};

// Up to 16 rows of a weight, outputs of a product, in both orders in which products read it. It is packed
// once a step, row after row, and read much later.
template <class T>
struct WeightRows {
  const float* w;
  int64_t row_stride;
  int64_t rows;
  int64_t columns;
  T* panel;              // rows are outputs, columns the inner dimension
  T* turned;             // the other way round, in the first of its panels; may be null
  int64_t turned_panel;  // elements from panel to panel
  int64_t turned_steps;  // as many as these rows fill, or more: zeros
};

template <class T>
struct Loops {
  void (*product)(const Block<T>&);
  // y[0 .. n) = x rounded to T; up to y[n_padded) zero.
  void (*round)(const float* x, int64_t n, int64_t n_padded, T* y);
  // Up to 16 rows of a weight become a panel: row r is output r, columns are the inner dimension (padded with
  // zeros).
  void (*pack_rows)(const float* w, int64_t row_stride, int64_t rows, int64_t columns, T* panel);
  // kStep rows become one step of many panels: columns are outputs. row1 is read for bf16 only and null for
  // zeros.
  void (*pack_step)(const float* row0, const float* row1, float scale0, float scale1, int64_t columns, T* out,
                    int64_t panel_stride);
  // Both for a weight, faster; null where those two do.
  void (*pack_weight)(const WeightRows<T>&);
  void (*activation_forward)(const ActivationForward<T>&);
  void (*activation_backward)(const ActivationBackward<T>&);
};

struct Table {
  std::string_view name;
  Loops<bf16> bf16_loops;
  Loops<float> f32_loops;
  // y[0 .. n) (=, +=) scale * (x + bias); bias may be null.
  void (*write_row)(const float* x, const float* bias, float scale, int64_t n, Write write, float* y);

  template <class T>
  const Loops<T>& loops() const {
    if constexpr (sizeof(T) == 2) {
      return bf16_loops;
    } else {
      return f32_loops;
    }
  }
};

const Table& best_table(const CpuFeatures& features);
std::vector<const Table*> all_tables(const CpuFeatures& features);
const Table* find_table(std::string_view name, const CpuFeatures& features);

}  // namespace agora::kernels
