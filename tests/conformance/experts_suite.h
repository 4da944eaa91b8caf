// What every answer to the seam must do: one suite that local, remote and simulated experts pass alike.
//
//   INSTANTIATE_TEST_SUITE_P(Local, ExpertsSuite, testing::Values(ExpertsUnderTest{"f32", make_local}),
//   name_of);
//
// make() gives experts of the asked shape under their default names ("model.layers.L.mlp.experts.E"), with
// first weights from Rng(kExpertsSeed): the suite makes the same experts for itself, computes what they
// should answer in f64, and compares. Everything is expected to arrive: no faults are injected here.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agora/base/rng.h"
#include "agora/kernels/compute.h"
#include "agora/moe/expert/expert.h"
#include "agora/moe/experts.h"
#include "agora/tensor/buffer.h"
#include <gtest/gtest.h>

namespace agora::tests {

constexpr uint64_t kExpertsSeed = 20260131;

struct ExpertsShape {
  int64_t layers = 2;
  int64_t experts = 6;
  moe::ExpertShape expert{.d = 20, .h = 24, .deviation = 0.3f, .deviation_down = 0.3f};
  kernels::Precision precision = kernels::Precision::f32;
  int64_t tickets_max = 8;
};

struct ExpertsUnderTest {
  std::string name;
  // Owns all that the experts need. May be called several times in one test; the results live side by side.
  std::function<std::shared_ptr<moe::Experts>(const ExpertsShape&)> make;
};

inline std::string name_of(const testing::TestParamInfo<ExpertsUnderTest>& info) { return info.param.name; }

class ExpertsSuite : public testing::TestWithParam<ExpertsUnderTest> {
 protected:
  std::shared_ptr<moe::Experts> make(const ExpertsShape& shape = {}) const { return GetParam().make(shape); }
};

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
