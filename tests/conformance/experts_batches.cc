#include "tests/conformance/experts_batches.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "agora/moe/local_experts.h"
#include <gtest/gtest.h>

namespace agora::tests {

using moe::Keep;
using moe::kNoDeadline;
using moe::Ticket;
using tensor::Buffer;
using tensor::Purpose;

Buffer<float> random_rows(Rng& rng, int64_t rows, int64_t cols) {
  Buffer<float> result(rows, cols, Purpose::scratch);
  for (float& value : result.flat()) value = rng.normal();
  return result;
}

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

Batch random_batch(Rng& rng, const ExpertsShape& shape, int64_t tokens, int64_t chosen) {
  Batch batch{.x = random_rows(rng, tokens, shape.expert.d), .route = {}};
  batch.route.first.push_back(0);
  for (int64_t t = 0; t < tokens; ++t) {
    int64_t left = chosen;
    for (int64_t e = 0; e < shape.experts && left > 0; ++e) {
      if (rng.below(static_cast<uint32_t>(shape.experts - e)) >= static_cast<uint32_t>(left)) continue;
      batch.route.expert.push_back(static_cast<int32_t>(e));
      batch.route.weight.push_back(0.1f + rng.uniform());
      --left;
    }
    batch.route.first.push_back(static_cast<int32_t>(batch.route.expert.size()));
  }
  return batch;
}

std::vector<double> expected_mix(const ExpertsShape& shape, LayerId layer, const Batch& batch) {
  const int64_t d = shape.expert.d, h = shape.expert.h;
  std::vector<double> y(static_cast<size_t>(batch.x.rows() * d), 0.0);
  std::vector<double> hidden(static_cast<size_t>(h));
  for (int64_t e = 0; e < shape.experts; ++e) {
    moe::Expert expert(shape.expert, moe::Train::no);
    expert.initialise(absl::StrFormat("model.layers.%d.mlp.experts.%d", layer.value, e), Rng(kExpertsSeed));
    const kernels::ExpertWeights w = expert.weights();
    for (int64_t t = 0; t < batch.x.rows(); ++t) {
      for (int32_t i = batch.route.first[t]; i < batch.route.first[t + 1]; ++i) {
        if (batch.route.expert[i] != e) continue;
        const std::span<const float> x = batch.x.view().row_span(t);
        for (int64_t k = 0; k < h; ++k) {
          const double gate = dot(x, w.gate.row_span(k));
          hidden[k] = gate / (1.0 + std::exp(-gate)) * dot(x, w.up.row_span(k));
        }
        for (int64_t c = 0; c < d; ++c) {
          for (int64_t k = 0; k < h; ++k)
            y[t * d + c] += batch.route.weight[i] * hidden[k] * w.down.row(c)[k];
        }
      }
    }
  }
  return y;
}

Mixed mix(moe::Experts& experts, LayerId layer, const Batch& batch, Keep keep) {
  Mixed mixed{
      .status = {}, .y = Buffer<float>(batch.x.rows(), batch.x.cols(), Purpose::scratch), .result = {}};
  // What was there before must not shine through.
  std::fill(mixed.y.flat().begin(), mixed.y.flat().end(), 123.0f);
  StatusOr<moe::MixResult> result =
      experts.mix(layer, batch.x.view(), batch.route, keep, kNoDeadline, mixed.y.view());
  mixed.status = result.status();
  if (result.ok()) mixed.result = *std::move(result);
  return mixed;
}

Gradients mix_backward(moe::Experts& experts, Ticket ticket, const Batch& batch, const Buffer<float>& dy) {
  Gradients gradients{.status = {},
                      .dx = Buffer<float>(batch.x.rows(), batch.x.cols(), Purpose::scratch),
                      .dweights = std::vector<float>(batch.route.expert.size(), 123.0f)};
  std::fill(gradients.dx.flat().begin(), gradients.dx.flat().end(), 123.0f);
  gradients.status =
      experts.mix_backward(ticket, dy.view(), kNoDeadline, gradients.dx.view(), gradients.dweights);
  return gradients;
}

}  // namespace agora::tests
