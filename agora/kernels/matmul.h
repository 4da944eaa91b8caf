// Matrix products against weights that are packed once and used many times.
//
//   PackedMatrix w = pack(compute, weight_view);            // weight: f32 [N, K], row n is of output n
//   matmul(compute, x, w, y);                               // y[T, N]  = x[T, K] . weight^T
//   PackedMatrix wt = pack_transposed(compute, weight_view);
//   matmul(compute, dy, wt, dx);                            // dx[T, K] = dy[T, N] . weight
//   matmul_gradient(compute, x, dy, dweight);               // dweight[N, K] += dy^T . x
//
// Precision: bf16 rounds x and the weights to bf16 (nearest, ties to even) and adds in f32; f32 rounds
// nothing. A row of y is bitwise the same whatever other rows T holds and for any number of threads: every
// element is one sum over K in ascending order of fixed blocks. dweight adds rows in ascending order of t, in
// fixed blocks. Any thread; the pool runs one loop at a time.
#pragma once

#include <cstddef>
#include <span>

#include "agora/kernels/compute.h"
#include "agora/tensor/buffer.h"
#include "agora/tensor/dtype.h"
#include "agora/tensor/view.h"

namespace agora::kernels {

using tensor::bf16;
using tensor::Buffer;
using tensor::Purpose;
using tensor::View;

// A matrix B of `inner` x `outputs` in panels of 16 outputs. bf16: [panel][inner / 2][16][2] (the order that
// AMX tiles and AVX-512's bf16 dot product read); f32: [panel][inner][16]. Both are zero-padded to whole
// panels and, for bf16, to even `inner`. Bytes: round_up(outputs, 16) * round_up(inner, 2) * (2 or 4).
class PackedMatrix {
 public:
  PackedMatrix() = default;

  // Takes a new shape, keeping the memory where the size fits. The panels' contents are undefined until they
  // are filled.
  void shape(int64_t inner, int64_t outputs, Precision precision);

  int64_t inner() const { return inner_; }      // length of each sum
  int64_t outputs() const { return outputs_; }  // columns of the product
  Precision precision() const { return precision_; }
  bool empty() const { return outputs_ == 0; }
  int64_t panels() const { return (int64_t{outputs_} + 15) / 16; }
  const bf16* panel_bf16(int64_t p) const;
  const float* panel_f32(int64_t p) const;

  // T is bf16 or float and agrees with precision().
  template <class T>
  const T* panel(int64_t p) const;
  template <class T>
  T* mutable_panel(int64_t p);

 private:
  Buffer<std::byte> panels_;
  int32_t inner_ = 0;
  int32_t outputs_ = 0;
  Precision precision_ = Precision::bf16;
};

// weight [N, K] -> inner K, outputs N; transposed: inner N, outputs K. repack() reuses the memory where the
// shape and precision are unchanged, and makes both in one pass over the weight.
PackedMatrix pack(const Compute& compute, View<const float> weight);
PackedMatrix pack_transposed(const Compute& compute, View<const float> weight);
void repack(const Compute& compute, View<const float> weight, PackedMatrix& packed,
            PackedMatrix* transposed = nullptr);

enum class Write : uint8_t { replace, add };

// y[T, outputs] (=, +=) x[T, inner] . B.  Checks the shapes and that packed.precision() == compute.precision.
void matmul(const Compute& compute, View<const float> x, const PackedMatrix& b, View<float> y,
            Write write = Write::replace);

// y (=, +=) the sum of the terms' x . b, added in their order: the bits of a matmul for each of them.
struct MatmulTerm {
  View<const float> x;
  const PackedMatrix* b;
};
void matmul_sum(const Compute& compute, std::span<const MatmulTerm> terms, View<float> y,
                Write write = Write::replace);

// y = x . b for each of the products: as one matmul after the other, but x is rounded once.
struct MatmulOutput {
  const PackedMatrix* b;
  View<float> y;
};
void matmul_each(const Compute& compute, View<const float> x, std::span<const MatmulOutput> products,
                 Write write = Write::replace);

// dweight[N, K] += dy[T, N]^T . x[T, K]
void matmul_gradient(const Compute& compute, View<const float> x, View<const float> dy, View<float> dweight);

// The same for each of the gradients, but x is packed once.
struct MatmulGradient {
  View<const float> dy;
  View<float> dweight;
};
void matmul_gradient_each(const Compute& compute, View<const float> x,
                          std::span<const MatmulGradient> gradients);

}  // namespace agora::kernels
