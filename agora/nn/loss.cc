#include "agora/nn/loss.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace agora::nn {

using tensor::View;

int64_t count_targets(std::span<const int32_t> targets) {
  return std::count_if(targets.begin(), targets.end(), [](int32_t target) { return target >= 0; });
}

LossSum cross_entropy(const kernels::Compute& compute, View<const float> x, Head& head,
                      std::span<const int32_t> targets, float scale, std::span<float> row_loss,
                      View<float> dx) {
  std::vector<float> own(row_loss.empty() ? targets.size() : 0);
  const std::span<float> loss = row_loss.empty() ? std::span<float>(own) : row_loss;
  AGORA_CHECK(dx.empty() || head.weight().trained());
  const View<float> dhead = dx.empty() ? View<float>() : head.weight().gradient.view();
  kernels::cross_entropy(compute, x, head.packed(), head.packed_transposed(), targets, scale, loss, dx,
                         dhead);
  LossSum result{.sum = 0, .counted = count_targets(targets)};
  for (const float l : loss) result.sum += l;
  return result;
}

LossSum softmax_cross_entropy(View<const float> logits, std::span<const int32_t> targets, float scale,
                              std::span<float> row_loss, View<float> dlogits) {
  AGORA_CHECK_EQ(logits.rows, static_cast<int64_t>(targets.size()));
  LossSum result{.sum = 0, .counted = count_targets(targets)};
  for (int64_t t = 0; t < logits.rows; ++t) {
    const float* row = logits.row(t);
    const int32_t target = targets[static_cast<size_t>(t)];
    if (target < 0) {
      if (!row_loss.empty()) row_loss[static_cast<size_t>(t)] = 0.0f;
      if (!dlogits.empty()) std::fill_n(dlogits.row(t), dlogits.cols, 0.0f);
      continue;
    }
    AGORA_CHECK_LT(target, logits.cols);
    const float greatest = *std::max_element(row, row + logits.cols);
    double sum = 0;
    for (int64_t c = 0; c < logits.cols; ++c) sum += std::exp(row[c] - greatest);
    const auto log_sum = static_cast<float>(std::log(sum)) + greatest;
    const float loss = log_sum - row[target];
    result.sum += loss;
    if (!row_loss.empty()) row_loss[static_cast<size_t>(t)] = loss;
    if (dlogits.empty()) continue;
    for (int64_t c = 0; c < logits.cols; ++c) dlogits.row(t)[c] = scale * std::exp(row[c] - log_sum);
    dlogits.row(t)[target] -= scale;
  }
  return result;
}

LossSum mean_squared_error(View<const float> y, View<const float> target, float scale,
                           std::span<float> row_loss, View<float> dy) {
  AGORA_CHECK(y.rows == target.rows && y.cols == target.cols);
  LossSum result{.sum = 0, .counted = y.rows};
  for (int64_t t = 0; t < y.rows; ++t) {
    double sum = 0;
    for (int64_t c = 0; c < y.cols; ++c) {
      const float error = y.row(t)[c] - target.row(t)[c];
      sum += double{error} * error;
      if (!dy.empty()) dy.row(t)[c] = 2.0f * scale * error / static_cast<float>(y.cols);
    }
    const double loss = sum / static_cast<double>(y.cols);
    result.sum += loss;
    if (!row_loss.empty()) row_loss[static_cast<size_t>(t)] = static_cast<float>(loss);
  }
  return result;
}

}  // namespace agora::nn
