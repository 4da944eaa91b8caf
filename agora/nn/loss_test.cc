#include "agora/nn/loss.h"

#include <cmath>
#include <vector>

#include "agora/nn/finite_differences.h"
#include <gtest/gtest.h>

namespace agora::nn {
namespace {

const std::vector<int32_t> kTargets = {2, -1, 0, 4, 4, 1};

TEST(Loss, CrossEntropyGradientByFiniteDifferences) {
  base::ThreadPool pool(2);
  const kernels::Compute compute{.table = &kernels::best_table(kernels::cpu_features()),
                                 .pool = &pool,
                                 .precision = kernels::Precision::f32};
  Rng rng(1);
  Head head("lm_head", 5, 3, Train::yes);
  head.initialise(rng, 1.0f);
  Buffer<float> x = random_matrix(rng, 6, 3), dx(6, 3, Purpose::scratch);
  const auto loss = [&] {
    head.repack(compute);
    return cross_entropy(compute, x.view(), head, kTargets, 0.2f, {}, {}).mean();
  };
  head.repack(compute);
  std::vector<float> rows(6);
  const LossSum sum = cross_entropy(compute, x.view(), head, kTargets, 0.2f, rows, dx.view());
  EXPECT_EQ(sum.counted, 5);
  EXPECT_EQ(rows[1], 0.0f);
  EXPECT_NEAR(sum.mean(), loss(), 1e-6);
  expect_gradient(x.flat(), dx.flat(), loss);
  expect_gradient(head.weight().value.flat(), head.weight().gradient.flat(), loss);
}

TEST(Loss, SoftmaxCrossEntropyGradientByFiniteDifferences) {
  Rng rng(2);
  Buffer<float> logits = random_matrix(rng, 6, 5, 2.0f), dlogits(6, 5, Purpose::scratch);
  const auto loss = [&] { return softmax_cross_entropy(logits.view(), kTargets, 1.0f, {}, {}).sum; };
  std::vector<float> rows(6);
  const LossSum sum = softmax_cross_entropy(logits.view(), kTargets, 1.0f, rows, dlogits.view());
  EXPECT_EQ(sum.counted, 5);
  EXPECT_NEAR(sum.sum, loss(), 1e-9);
  expect_gradient(logits.flat(), dlogits.flat(), loss);
  softmax_cross_entropy(logits.view(), kTargets, 1.0f, {}, logits.view());  // in place
  EXPECT_TRUE(std::ranges::equal(logits.flat(), dlogits.flat()));
}

TEST(Loss, MeanSquaredErrorGradientByFiniteDifferences) {
  Rng rng(3);
  Buffer<float> y = random_matrix(rng, 4, 3), dy(4, 3, Purpose::scratch);
  const Buffer<float> target = random_matrix(rng, 4, 3);
  const auto loss = [&] { return mean_squared_error(y.view(), target.view(), 1.0f, {}, {}).mean(); };
  mean_squared_error(y.view(), target.view(), 0.25f, {}, dy.view());
  expect_gradient(y.flat(), dy.flat(), loss);
}

TEST(Loss, NoRowCounts) {
  const std::vector<int32_t> none = {-1, -1};
  Rng rng(4);
  const Buffer<float> logits = random_matrix(rng, 2, 3);
  const LossSum sum = softmax_cross_entropy(logits.view(), none, 1.0f, {}, {});
  EXPECT_EQ(sum.counted, 0);
  EXPECT_EQ(sum.mean(), 0.0);
}

}  // namespace
}  // namespace agora::nn
