// A matrix that takes a new shape with every batch and keeps its memory while the shape fits.
//
//   BatchRows<float> rows(Purpose::scratch);
//   View<float> y = rows.shape(T, D);            // contents undefined; the earlier view is gone
//   ... rows.view() ...
//
// Moves, does not copy. One thread at a time.
#pragma once

#include "agora/tensor/fit.h"

namespace agora::moe {

template <class T>
class BatchRows {
 public:
  explicit BatchRows(tensor::Purpose purpose) : purpose_(purpose) {}

  tensor::View<T> shape(int64_t rows, int64_t cols) {
    rows_ = rows;
    cols_ = cols;
    return tensor::fit(buffer_, rows, cols, purpose_);
  }

  tensor::View<T> view() { return {buffer_.data(), rows_, cols_}; }
  tensor::View<const T> view() const { return {buffer_.data(), rows_, cols_}; }

 private:
  tensor::Purpose purpose_;
  tensor::Buffer<T> buffer_;
  int64_t rows_ = 0;
  int64_t cols_ = 0;
};

}  // namespace agora::moe
