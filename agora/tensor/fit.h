// Memory that is used again from batch to batch.
//
//   Buffer<float> kept;
//   const View<float> rows = fit(kept, T, D, Purpose::activation);   // contents undefined
//
// One thread at a time.
#pragma once

#include "agora/tensor/buffer.h"

namespace agora::tensor {

// The buffer's first rows * cols numbers. Only what does not fit takes memory, and frees what was there
// before it does: the peak is the larger of the two, not their sum.
template <class T>
View<T> fit(Buffer<T>& buffer, int64_t rows, int64_t cols, Purpose purpose) {
  if (rows * cols > buffer.size()) {
    buffer = {};
    buffer = Buffer<T>::uninitialised(rows, cols, purpose);
  }
  return {buffer.data(), rows, cols};
}

}  // namespace agora::tensor
