// Batches for experts behind the seam, and what the experts should make of them: shared by the suite and by
// tests of one implementation.
//
//   Batch batch = random_batch(rng, shape, tokens, chosen);   Mixed mixed = mix(experts, layer, batch, keep);
//
// Tests only.
#pragma once

#include <span>
#include <vector>

#include "agora/base/rng.h"
#include "agora/kernels/compute.h"
#include "agora/moe/expert/expert.h"
#include "agora/moe/experts.h"
#include "agora/tensor/buffer.h"

namespace agora::tests {

constexpr uint64_t kExpertsSeed = 20260131;

struct ExpertsShape {
  int64_t layers = 2;
  int64_t experts = 6;
  moe::ExpertShape expert{.d = 20, .h = 24, .deviation = 0.3f, .deviation_down = 0.3f};
  kernels::Precision precision = kernels::Precision::f32;
  int64_t tickets_max = 8;
};

tensor::Buffer<float> random_rows(Rng& rng, int64_t rows, int64_t cols);
double dot(std::span<const float> a, std::span<const float> b);

// A batch with its route: tokens choose `chosen` of the experts with weights in [0.1, 1.1).
struct Batch {
  tensor::Buffer<float> x;
  moe::Route route;
};
Batch random_batch(Rng& rng, const ExpertsShape& shape, int64_t tokens, int64_t chosen);

// The answer by the definition: y[t] = sum of weight * E(x[t]), in f64 from the experts' first weights.
// SwiGLU only.
std::vector<double> expected_mix(const ExpertsShape& shape, LayerId layer, const Batch& batch);

struct Mixed {
  Status status;
  tensor::Buffer<float> y;
  moe::MixResult result;
};
Mixed mix(moe::Experts& experts, LayerId layer, const Batch& batch, moe::Keep keep);

struct Gradients {
  Status status;
  tensor::Buffer<float> dx;
  std::vector<float> dweights;
};
Gradients mix_backward(moe::Experts& experts, moe::Ticket ticket, const Batch& batch,
                       const tensor::Buffer<float>& dy);

}  // namespace agora::tests
