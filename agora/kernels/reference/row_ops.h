// The loops of row_ops.h, attention.h and adamw_step.h said plainly: what the fast ones are held against.
//
//   reference::rms_norm_forward(x, gain, epsilon, y, inverse);
//
// Same meaning and shapes as there; sums in f64, one thread, no blocks. Any thread.
#pragma once

#include <span>

#include "agora/kernels/adamw_step.h"
#include "agora/kernels/attention.h"
#include "agora/tensor/view.h"

namespace agora::kernels::reference {

void rms_norm_forward(View<const float> x, std::span<const float> gain, float epsilon, View<float> y,
                      std::span<float> inverse);
// dx and dgain are added to.
void rms_norm_backward(View<const float> x, std::span<const float> gain, float epsilon, View<const float> dy,
                       View<float> dx, std::span<float> dgain);

void rope(View<float> x, int64_t heads, std::span<const int32_t> positions, float theta, int sign);

// head [V, D]. dx is written, dhead added to; both empty: only losses.
void cross_entropy(View<const float> x, View<const float> head, std::span<const int32_t> targets, float scale,
                   std::span<float> loss, View<float> dx, View<float> dhead);

// Holds every row's scores at once.
void attention_forward(const AttentionShape& shape, std::span<const AttentionSequence> sequences,
                       View<const float> q, View<const float> k, View<const float> v, View<float> out,
                       View<float> log_sum);
void attention_backward(const AttentionShape& shape, std::span<const AttentionSequence> sequences,
                        View<const float> q, View<const float> k, View<const float> v, View<const float> dout,
                        View<float> dq, View<float> dk, View<float> dv);

void adamw_step(const AdamWSettings& settings, int64_t step, std::span<float> weights,
                std::span<const float> gradient, std::span<float> first, std::span<float> second);

}  // namespace agora::kernels::reference
