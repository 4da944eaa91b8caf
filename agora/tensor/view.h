// View borrows a matrix: rows of equal length, each row contiguous. It owns nothing and costs nothing to
// copy.
//
//   View<const float> x{data, T, D};          // dense
//   View<float> left = y.columns(0, D / 2);   // a part of it: row_stride stays
//   x.row(t)[d]
//
// The owner (tensor/buffer.h) must outlive the view. A View<T> turns into a View<const T> by itself. Any
// thread.
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>

#include "agora/base/check.h"

namespace agora::tensor {

template <class T>
struct View {
  T* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_stride = 0;  // elements from one row to the next; >= cols

  View() = default;
  View(T* d, int64_t r, int64_t c) : data(d), rows(r), cols(c), row_stride(c) {}
  View(T* d, int64_t r, int64_t c, int64_t stride) : data(d), rows(r), cols(c), row_stride(stride) {}

  // NOLINTNEXTLINE(google-explicit-constructor): borrowing read-only is always safe
  operator View<const T>() const requires(!std::is_const_v<T>) { return {data, rows, cols, row_stride}; }

  T* row(int64_t r) const { return data + r * row_stride; }
  std::span<T> row_span(int64_t r) const { return {row(r), static_cast<size_t>(cols)}; }
  std::span<T> flat() const {
    AGORA_CHECK(dense());
    return {data, static_cast<size_t>(size())};
  }
  int64_t size() const { return rows * cols; }
  bool empty() const { return rows == 0 || cols == 0; }
  bool dense() const { return row_stride == cols || rows <= 1; }

  View rows_from(int64_t begin, int64_t count) const {
    AGORA_CHECK(begin >= 0 && count >= 0 && begin + count <= rows);
    return {data + begin * row_stride, count, cols, row_stride};
  }
  View columns(int64_t begin, int64_t count) const {
    AGORA_CHECK(begin >= 0 && count >= 0 && begin + count <= cols);
    return {data + begin, rows, count, row_stride};
  }
};

}  // namespace agora::tensor
