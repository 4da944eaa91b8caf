// Rows of a weight into the panels of a product and of the product with its transpose, by a table's loops.
//
//   pack_weight(loops, {.w = weight.row(16 * p), ..., .panel = panel, .turned = transposed_panel, ...});
//
// Any thread.
#pragma once

#include <algorithm>

#include "agora/kernels/table.h"

namespace agora::kernels {

template <class T>
void pack_weight(const Loops<T>& loops, const WeightRows<T>& rows) {
  if (loops.pack_weight != nullptr) return loops.pack_weight(rows);
  loops.pack_rows(rows.w, rows.row_stride, rows.rows, rows.columns, rows.panel);
  if (rows.turned == nullptr) return;
  for (int64_t s = 0; s < rows.turned_steps; ++s) {
    const int64_t row = s * kStep<T>;
    T* to = rows.turned + row * kPanelWidth;
    const float* first = rows.w + row * rows.row_stride;
    const float* second = kStep<T> == 2 && row + 1 < rows.rows ? first + rows.row_stride : nullptr;
    if (row < rows.rows) {
      loops.pack_step(first, second, 1.0f, 1.0f, rows.columns, to, rows.turned_panel);
      continue;
    }
    for (int64_t c = 0; c < rows.columns; c += kPanelWidth, to += rows.turned_panel) {
      std::fill_n(to, kPanelWidth * kStep<T>, T{});
    }
  }
}

}  // namespace agora::kernels
