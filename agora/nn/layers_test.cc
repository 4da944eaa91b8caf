#include <vector>

#include "agora/nn/embedding.h"
#include "agora/nn/finite_differences.h"
#include "agora/nn/head.h"
#include "agora/nn/linear.h"
#include "agora/nn/rms_norm.h"
#include <gtest/gtest.h>

namespace agora::nn {
namespace {

class Layers : public testing::Test {
 protected:
  base::ThreadPool pool_{2};
  kernels::Compute compute_{.table = &kernels::best_table(kernels::cpu_features()),
                            .pool = &pool_,
                            .precision = kernels::Precision::f32};
  Rng rng_{1};
};

TEST_F(Layers, FirstValuesDependOnTheNameAlone) {
  Parameter a = Parameter::matrix("a", 3, 4, Train::no), b = Parameter::matrix("b", 3, 4, Train::no);
  Parameter again = Parameter::matrix("a", 3, 4, Train::yes);
  fill_normal(a, rng_, 0.5f);
  fill_normal(b, rng_, 0.5f);
  fill_normal(again, rng_, 0.5f);
  EXPECT_FALSE(a.trained());
  EXPECT_TRUE(again.trained());
  EXPECT_TRUE(std::ranges::equal(a.value.flat(), again.value.flat()));
  EXPECT_FALSE(std::ranges::equal(a.value.flat(), b.value.flat()));
}

TEST_F(Layers, ParametersAreCountedByPurpose) {
  const tensor::MemoryCount before = tensor::memory_count();
  const Parameter p = Parameter::matrix("p", 8, 16, Train::yes);
  const tensor::MemoryCount after = tensor::memory_count();
  const auto grew = [&](Purpose purpose) {
    return after.bytes[static_cast<size_t>(purpose)] - before.bytes[static_cast<size_t>(purpose)];
  };
  EXPECT_EQ(grew(Purpose::weight), 8 * 16 * 4);
  EXPECT_EQ(grew(Purpose::gradient), 8 * 16 * 4);
  EXPECT_EQ(grew(Purpose::optimizer), 2 * 8 * 16 * 4);
}

TEST_F(Layers, LinearGradientByFiniteDifferences) {
  for (const Bias bias : {Bias::no, Bias::yes}) {
    Linear linear("l", 5, 7, bias, Train::yes);
    linear.initialise(rng_, 0.5f);
    Buffer<float> x = random_matrix(rng_, 4, 7), dy = random_matrix(rng_, 4, 5), y(4, 5, Purpose::scratch);
    Buffer<float> dx(4, 7, Purpose::scratch);
    const auto loss = [&] {
      linear.repack(compute_);
      linear.forward(compute_, x.view(), y.view());
      return dot(y.flat(), dy.flat());
    };
    loss();
    linear.backward(compute_, x.view(), dy.view(), dx.view());
    expect_gradient(x.flat(), dx.flat(), loss);
    expect_gradient(linear.weight().value.flat(), linear.weight().gradient.flat(), loss);
    if (bias == Bias::yes) expect_gradient(linear.bias()->value.flat(), linear.bias()->gradient.flat(), loss);
    std::vector<Parameter*> parameters;
    linear.append_parameters(parameters);
    EXPECT_EQ(parameters.size(), bias == Bias::yes ? 2u : 1u);
    EXPECT_EQ(parameters[0]->name, "l.weight");
  }
}

TEST_F(Layers, LinearAddsWhenAsked) {
  Linear linear("l", 3, 2, Bias::yes, Train::yes);
  linear.initialise(rng_, 1.0f);
  fill(*linear.bias(), 0.5f);
  linear.repack(compute_);
  const Buffer<float> x = random_matrix(rng_, 6, 2);
  Buffer<float> once(6, 3, Purpose::scratch), twice(6, 3, Purpose::scratch);
  linear.forward(compute_, x.view(), once.view());
  linear.forward(compute_, x.view(), twice.view());
  linear.forward(compute_, x.view(), twice.view(), Write::add);
  for (int64_t i = 0; i < once.size(); ++i) EXPECT_NEAR(twice.data()[i], 2 * once.data()[i], 1e-5f);
}

TEST_F(Layers, RmsNormGradientByFiniteDifferences) {
  RmsNorm norm("n", 6, 1e-5f, Train::yes);
  for (float& g : norm.gain().value.flat()) g = 1.0f + 0.3f * rng_.normal();
  Buffer<float> x = random_matrix(rng_, 5, 6), dy = random_matrix(rng_, 5, 6), y(5, 6, Purpose::scratch);
  Buffer<float> dx(5, 6, Purpose::scratch);
  std::vector<float> inverse(5);
  const auto loss = [&] {
    norm.forward(compute_, x.view(), y.view(), inverse);
    return dot(y.flat(), dy.flat());
  };
  loss();
  norm.backward(compute_, x.view(), inverse, dy.view(), dx.view(), Write::replace);
  expect_gradient(x.flat(), dx.flat(), loss);
  expect_gradient(norm.gain().value.flat(), norm.gain().gradient.flat(), loss);
  EXPECT_FALSE(norm.gain().decays());
}

TEST_F(Layers, EmbeddingGradientByFiniteDifferences) {
  Embedding embedding("e", 6, 5, Train::yes);
  embedding.initialise(rng_, 1.0f);
  const std::vector<int32_t> ids = {3, 0, 3, 5, 3};
  Buffer<float> dy = random_matrix(rng_, 5, 5), y(5, 5, Purpose::scratch);
  const auto loss = [&] {
    embedding.forward(compute_, ids, y.view());
    return dot(y.flat(), dy.flat());
  };
  embedding.backward(compute_, ids, dy.view());
  expect_gradient(embedding.table().value.flat(), embedding.table().gradient.flat(), loss);
}

TEST_F(Layers, TiedHeadUsesTheTableAfterTheLayersMoved) {
  Embedding first("e", 9, 4, Train::yes);
  Head head(first.table());
  const Embedding embedding = std::move(first);
  Head moved = std::move(head);
  moved.initialise(rng_, 1.0f);  // leaves the table alone
  EXPECT_TRUE(moved.tied());
  EXPECT_EQ(moved.weight().value.data()[0], 0.0f);
  fill_normal(moved.weight(), rng_, 1.0f);
  moved.repack(compute_);
  const Buffer<float> x = random_matrix(rng_, 3, 4);
  Buffer<float> logits(3, 9, Purpose::scratch);
  moved.forward(compute_, x.view(), logits.view());
  for (int64_t t = 0; t < 3; ++t) {
    for (int64_t v = 0; v < 9; ++v) {
      const std::span<const float> row(moved.weight().value.row(v), 4), input(x.row(t), 4);
      EXPECT_NEAR(logits.row(t)[v], dot(row, input), 1e-5);
    }
  }
  std::vector<Parameter*> parameters;
  moved.append_parameters(parameters);
  EXPECT_TRUE(parameters.empty());
}

}  // namespace
}  // namespace agora::nn
