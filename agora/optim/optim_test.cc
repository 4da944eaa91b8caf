#include <cmath>
#include <vector>

#include "agora/base/rng.h"
#include "agora/optim/adamw.h"
#include "agora/optim/clip.h"
#include "agora/optim/schedule.h"
#include "agora/optim/sgd.h"
#include <gtest/gtest.h>

namespace agora::optim {
namespace {

using tensor::Parameter;
using tensor::Train;

class Optim : public testing::Test {
 protected:
  Optim() {
    for (Parameter* p : all()) {
      for (float& x : p->value.flat()) x = rng_.normal();
      for (float& g : p->gradient.flat()) g = rng_.normal();
    }
  }
  std::vector<Parameter*> all() { return {&matrix_, &gain_, &frozen_}; }

  Rng rng_{1};
  base::ThreadPool pool_{2};
  kernels::Compute compute_{.pool = &pool_};
  Parameter matrix_ = Parameter::matrix("matrix", 30, 7, Train::yes);
  Parameter gain_ = Parameter::vector("gain", 9, Train::yes);
  Parameter frozen_ = Parameter::matrix("frozen", 2, 2, Train::no);
};

std::vector<float> copy(std::span<const float> x) { return {x.begin(), x.end()}; }

TEST_F(Optim, AdamWDecaysMatricesOnlyAndLeavesFrozenOnes) {
  const std::vector<float> matrix = copy(matrix_.value.flat()), gain = copy(gain_.value.flat());
  const std::vector<float> frozen = copy(frozen_.value.flat());
  const AdamWSettings settings{.learning_rate = 0.1f, .weight_decay = 0.5f};
  adamw_step(compute_, settings, 1, all());
  // At the first step the moments' ratio is the gradient's sign.
  for (size_t i = 0; i < matrix.size(); ++i) {
    const float sign = matrix_.gradient.data()[i] > 0 ? 1.0f : -1.0f;
    EXPECT_NEAR(matrix_.value.data()[i], matrix[i] * 0.95f - 0.1f * sign, 1e-5f);
  }
  for (size_t i = 0; i < gain.size(); ++i) {
    EXPECT_NEAR(gain_.value.data()[i], gain[i] - (gain_.gradient.data()[i] > 0 ? 0.1f : -0.1f), 1e-5f);
  }
  EXPECT_EQ(copy(frozen_.value.flat()), frozen);
}

TEST_F(Optim, AdamWFindsTheLeastSquares) {
  for (int64_t step = 1; step <= 400; ++step) {
    for (int64_t i = 0; i < gain_.value.size(); ++i) gain_.gradient.data()[i] = gain_.value.data()[i] - 3.0f;
    adamw_step(compute_, {.learning_rate = step < 300 ? 0.1f : 0.01f}, step, {{&gain_}});
  }
  for (const float x : gain_.value.flat()) EXPECT_NEAR(x, 3.0f, 1e-2f);
}

TEST_F(Optim, SgdWithNesterovMomentumOverTwoSteps) {
  const float w0 = gain_.value.data()[0], g = gain_.gradient.data()[0];
  const SgdSettings settings{
      .learning_rate = 0.7f, .momentum = 0.9f, .nesterov = true, .gradient_scale = 2.0f};
  sgd_step(compute_, settings, all());
  EXPECT_NEAR(gain_.value.data()[0], w0 - 0.7f * (2 * g + 0.9f * 2 * g), 1e-5f);
  const float w1 = gain_.value.data()[0];
  sgd_step(compute_, settings, all());
  EXPECT_NEAR(gain_.value.data()[0], w1 - 0.7f * (2 * g + 0.9f * (0.9f * 2 * g + 2 * g)), 1e-5f);

  const float m0 = matrix_.value.data()[3], momentum = matrix_.first.data()[3],
              d = matrix_.gradient.data()[3];
  sgd_step(compute_, {.learning_rate = 0.1f, .momentum = 0.5f, .weight_decay = 0.2f}, all());
  EXPECT_NEAR(matrix_.value.data()[3], m0 - 0.1f * (0.5f * momentum + d + 0.2f * m0), 1e-5f);
}

TEST_F(Optim, GradientNormAndClip) {
  double squares = 0;
  for (const Parameter* p : {&matrix_, &gain_}) {
    for (const float g : p->gradient.flat()) squares += double{g} * g;
  }
  const StatusOr<double> norm = gradient_norm(compute_, all());
  ASSERT_TRUE(norm.ok());
  EXPECT_NEAR(*norm, std::sqrt(squares), 1e-9);
  EXPECT_EQ(clip_scale(0.5, 1.0), 1.0f);
  EXPECT_EQ(clip_scale(4.0, 1.0), 0.25f);
  EXPECT_EQ(clip_scale(4.0, 0.0), 1.0f);
}

TEST_F(Optim, GradientThatIsNotFiniteIsNamed) {
  for (const float bad : {NAN, INFINITY}) {
    gain_.gradient.data()[4] = bad;
    const StatusOr<double> norm = gradient_norm(compute_, all());
    ASSERT_FALSE(norm.ok());
    EXPECT_EQ(norm.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(norm.status().message().find("gain"), std::string_view::npos);
  }
}

TEST(Schedule, WarmUpThenEachShape) {
  const Schedule constant{.peak = 2.0f, .warmup_steps = 4};
  EXPECT_EQ(learning_rate(constant, 1), 0.5f);
  EXPECT_EQ(learning_rate(constant, 4), 2.0f);
  EXPECT_EQ(learning_rate(constant, 1000), 2.0f);

  const Schedule cosine{
      .shape = ScheduleShape::cosine, .peak = 2.0f, .floor = 1.0f, .warmup_steps = 10, .steps = 110};
  EXPECT_EQ(learning_rate(cosine, 5), 1.0f);
  EXPECT_EQ(learning_rate(cosine, 10), 2.0f);
  EXPECT_NEAR(learning_rate(cosine, 60), 1.5f, 1e-6f);
  EXPECT_NEAR(learning_rate(cosine, 110), 1.0f, 1e-6f);
  EXPECT_NEAR(learning_rate(cosine, 500), 1.0f, 1e-6f);

  const Schedule stable{.shape = ScheduleShape::warm_stable_decay,
                        .peak = 1.0f,
                        .floor = 0.0f,
                        .warmup_steps = 2,
                        .steps = 100,
                        .decay_steps = 20};
  EXPECT_EQ(learning_rate(stable, 80), 1.0f);
  EXPECT_NEAR(learning_rate(stable, 90), 0.5f, 1e-6f);
  EXPECT_EQ(learning_rate(stable, 100), 0.0f);
}

TEST(Schedule, RefusesWhatCanNotBe) {
  EXPECT_TRUE(validate({}).ok());
  const Schedule bad[] = {
      {.peak = -1.0f},
      {.peak = NAN},
      {.peak = 1.0f, .floor = 2.0f},
      {.warmup_steps = -1},
      {.shape = ScheduleShape::cosine, .steps = 0},
      {.shape = ScheduleShape::cosine, .warmup_steps = 10, .steps = 5},
      {.shape = ScheduleShape::warm_stable_decay, .warmup_steps = 10, .steps = 20, .decay_steps = 11},
  };
  for (const Schedule& schedule : bad) {
    EXPECT_EQ(validate(schedule).code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace agora::optim
