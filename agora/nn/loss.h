// Losses: each gives a number per row and, if asked, the gradient of scale * (sum of the rows' losses).
//
//   const int64_t counted = count_targets(targets);                                 // targets >= 0
//   LossSum s = cross_entropy(compute, x, head, targets, 1.0f / counted, {}, dx);   // s.mean()
//
// Pass scale = 1 / (all rows of the step) to train on the mean, also when a step is made of several batches.
// Sums are in f64 in ascending order of rows. One thread at a time.
#pragma once

#include <span>

#include "agora/kernels/row_ops.h"
#include "agora/nn/head.h"

namespace agora::nn {

struct LossSum {
  double sum = 0;
  int64_t counted = 0;  // rows that have a target
  double mean() const { return counted == 0 ? 0.0 : sum / static_cast<double>(counted); }
};

int64_t count_targets(std::span<const int32_t> targets);

// Next-token loss with the head's product fused in (kernels/row_ops.h): logits are never held for all rows.
// x [T, D], targets [T] (< 0: does not count). row_loss [T] or empty. dx [T, D] is written; empty: no
// gradients at all.
LossSum cross_entropy(const kernels::Compute& compute, tensor::View<const float> x, Head& head,
                      std::span<const int32_t> targets, float scale, std::span<float> row_loss,
                      tensor::View<float> dx);

// The same over logits [T, C] that are there already (classes of a Linear). dlogits [T, C] is written; it may
// be the logits themselves; empty: no gradient.
LossSum softmax_cross_entropy(tensor::View<const float> logits, std::span<const int32_t> targets, float scale,
                              std::span<float> row_loss, tensor::View<float> dlogits);

// Per row: mean over columns of (y - target)^2. dy [T, C] is written; it may be y; empty: no gradient.
LossSum mean_squared_error(tensor::View<const float> y, tensor::View<const float> target, float scale,
                           std::span<float> row_loss, tensor::View<float> dy);

}  // namespace agora::nn
