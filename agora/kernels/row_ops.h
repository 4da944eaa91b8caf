// Loops over rows: norms, rotary positions, softmax cross-entropy, sums. Each row's result depends on that
// row alone.
//
// Any thread; the pool runs one loop at a time. Sums over rows (dgain) go in fixed blocks of rows, in
// ascending order.
#pragma once

#include <cstdint>
#include <span>

#include "agora/kernels/compute.h"
#include "agora/kernels/matmul.h"
#include "agora/tensor/view.h"

namespace agora::kernels {

// RMSNorm (Zhang & Sennrich 2019): y = x * r * gain, r = 1 / sqrt(mean(x^2) + epsilon).
// x, y [T, D], gain [D]; inverse [T] keeps r for backward, may be empty. y may be x.
void rms_norm_forward(const Compute& compute, View<const float> x, std::span<const float> gain, float epsilon,
                      View<float> y, std::span<float> inverse);
// dx = the gradient (write, or add to what is there); dgain += the gradient of the gain.
void rms_norm_backward(const Compute& compute, View<const float> x, std::span<const float> gain,
                       std::span<const float> inverse, View<const float> dy, View<float> dx, Write write,
                       std::span<float> dgain);

// Rotary positions (Su 2021), in Hugging Face's order: component i of a head turns with component i + A / 2
// by the angle position * theta^(-2 i / A). x [T, heads * A] is turned in place; sign -1 turns back (the
// backward pass).
void rope(const Compute& compute, View<float> x, int64_t heads, std::span<const int32_t> positions,
          float theta, int sign);

// Softmax cross-entropy with the head's product fused in: logits = x . head, never held for all rows at once.
//   loss[t] = log(sum_v exp(logit_v)) - logit_target;   target < 0: the row does not count, loss 0.
// With gradients: dx[T, D] = (softmax - onehot) * scale . head^T,   dhead[V, D] += ...; pass scale = 1 /
// counted rows. head packs weight [V, D] (inner D, outputs V); head_transposed has inner V, outputs D. dx
// empty: only losses.
void cross_entropy(const Compute& compute, View<const float> x, const PackedMatrix& head,
                   const PackedMatrix& head_transposed, std::span<const int32_t> targets, float scale,
                   std::span<float> loss, View<float> dx, View<float> dhead);

// y[t] = table[ids[t]]; and its mirror dtable[ids[t]] += dy[t], in ascending order of t.
void embedding_forward(const Compute& compute, View<const float> table, std::span<const int32_t> ids,
                       View<float> y);
void embedding_backward(const Compute& compute, View<const float> dy, std::span<const int32_t> ids,
                        View<float> dtable);

// y[t] += bias; and its mirror dbias += sum over t of dy[t], in fixed blocks of rows.
void add_bias(const Compute& compute, std::span<const float> bias, View<float> y);
void add_bias_backward(const Compute& compute, View<const float> dy, std::span<float> dbias);

// y += x, element by element.
void add(const Compute& compute, View<const float> x, View<float> y);

// For one row, where it is called:
// y[0 .. n) = the sum of the rows, added in their order to 0. y may be one of them.
void sum_rows(std::span<const float* const> rows, int64_t n, float* y);
// No NaN and no infinity among the n numbers.
bool all_finite(const float* x, int64_t n);
// y[0 .. n) = x, exactly.
void widen(const tensor::bf16* x, int64_t n, float* y);

}  // namespace agora::kernels
