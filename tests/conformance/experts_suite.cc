#include "tests/conformance/experts_suite.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "absl/strings/str_format.h"

namespace agora::tests {
namespace {

using moe::Deadline;
using moe::Keep;
using moe::kNoDeadline;
using moe::Route;
using moe::Ticket;
using tensor::Buffer;
using tensor::Purpose;
using tensor::View;

constexpr LayerId kLayer{1};

Batch one_token(const Batch& batch, int64_t t) {
  Batch one{.x = Buffer<float>(1, batch.x.cols(), Purpose::scratch), .route = {}};
  std::copy_n(batch.x.row(t), batch.x.cols(), one.x.data());
  const int32_t begin = batch.route.first[t], end = batch.route.first[t + 1];
  one.route.first = {0, end - begin};
  one.route.expert.assign(batch.route.expert.begin() + begin, batch.route.expert.begin() + end);
  one.route.weight.assign(batch.route.weight.begin() + begin, batch.route.weight.begin() + end);
  return one;
}

bool same_bits(const float* a, const float* b, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    if (std::bit_cast<uint32_t>(a[i]) != std::bit_cast<uint32_t>(b[i])) return false;
  }
  return true;
}

// One step of training towards y = 0: the loss is half the sum of squares, so dy = y.
double train_once(moe::Experts& experts, const Batch& batch, int64_t step) {
  Mixed mixed = mix(experts, kLayer, batch, Keep::for_backward);
  EXPECT_TRUE(mixed.status.ok()) << mixed.status;
  EXPECT_TRUE(mix_backward(experts, mixed.result.ticket, batch, mixed.y).status.ok());
  EXPECT_TRUE(experts.end_step({.step = step, .learning_rate = 0.01f}).ok());
  return 0.5 * dot(mixed.y.flat(), mixed.y.flat());
}

}  // namespace

TEST_P(ExpertsSuite, MixIsTheWeightedSum) {
  const ExpertsShape shape;
  const auto experts = make(shape);
  Rng rng(1);
  for (const int64_t tokens : {1, 7, 130}) {
    for (int32_t layer = 0; layer < shape.layers; ++layer) {
      const Batch batch = random_batch(rng, shape, tokens, 3);
      const Mixed mixed = mix(*experts, LayerId{layer}, batch, Keep::nothing);
      ASSERT_TRUE(mixed.status.ok()) << mixed.status;
      EXPECT_EQ(mixed.result.arrived, std::vector<uint8_t>(batch.route.expert.size(), 1));
      EXPECT_EQ(mixed.result.ticket, Ticket{});
      const std::vector<double> expected = expected_mix(shape, LayerId{layer}, batch);
      for (int64_t i = 0; i < mixed.y.size(); ++i) {
        ASSERT_NEAR(mixed.y.data()[i], expected[i], 1e-4 * (1.0 + std::abs(expected[i]))) << "element " << i;
      }
    }
  }
}

TEST_P(ExpertsSuite, ATokensAnswerDoesNotDependOnItsBatch) {
  for (const auto precision : {kernels::Precision::f32, kernels::Precision::bf16}) {
    ExpertsShape shape;
    shape.precision = precision;
    const auto experts = make(shape);
    Rng rng(2);
    for (const int64_t tokens : {2, 33, 300}) {
      const Batch batch = random_batch(rng, shape, tokens, 2);
      const Mixed together = mix(*experts, kLayer, batch, Keep::nothing);
      ASSERT_TRUE(together.status.ok()) << together.status;
      for (int64_t t = 0; t < tokens; t += 1 + tokens / 7) {
        const Mixed alone = mix(*experts, kLayer, one_token(batch, t), Keep::nothing);
        ASSERT_TRUE(alone.status.ok()) << alone.status;
        ASSERT_TRUE(same_bits(alone.y.data(), together.y.row(t), alone.y.cols())) << t << " of " << tokens;
      }
    }
  }
}

TEST_P(ExpertsSuite, KeepingForBackwardDoesNotChangeTheAnswer) {
  const ExpertsShape shape;
  const auto experts = make(shape);
  Rng rng(2);
  const Batch batch = random_batch(rng, shape, 50, 2);
  const Mixed kept = mix(*experts, kLayer, batch, Keep::for_backward);
  const Mixed not_kept = mix(*experts, kLayer, batch, Keep::nothing);
  ASSERT_TRUE(kept.status.ok() && not_kept.status.ok()) << kept.status << not_kept.status;
  EXPECT_NE(kept.result.ticket, Ticket{});
  EXPECT_TRUE(same_bits(kept.y.data(), not_kept.y.data(), kept.y.size()));
}

TEST_P(ExpertsSuite, TokensWithoutChoicesGetZero) {
  const ExpertsShape shape;
  const auto experts = make(shape);
  Rng rng(3);
  Batch batch = random_batch(rng, shape, 3, 1);
  batch.route = {.first = {0, 0, 1, 1}, .expert = {2}, .weight = {1.0f}};
  const Mixed mixed = mix(*experts, kLayer, batch, Keep::for_backward);
  ASSERT_TRUE(mixed.status.ok()) << mixed.status;
  const Gradients gradients =
      mix_backward(*experts, mixed.result.ticket, batch, random_rows(rng, 3, shape.expert.d));
  ASSERT_TRUE(gradients.status.ok()) << gradients.status;
  for (int64_t c = 0; c < shape.expert.d; ++c) {
    for (const int64_t t : {0, 2}) {
      EXPECT_EQ(mixed.y.row(t)[c], 0.0f);
      EXPECT_EQ(gradients.dx.row(t)[c], 0.0f);
    }
    EXPECT_NE(mixed.y.row(1)[c], 0.0f);
  }
}

TEST_P(ExpertsSuite, EmptyBatch) {
  const auto experts = make();
  for (const Route& route : {Route{}, Route{.first = {0}, .expert = {}, .weight = {}}}) {
    const Batch batch{.x = Buffer<float>(0, ExpertsShape().expert.d, Purpose::scratch), .route = route};
    const Mixed mixed = mix(*experts, kLayer, batch, Keep::for_backward);
    ASSERT_TRUE(mixed.status.ok()) << mixed.status;
    EXPECT_TRUE(mix_backward(*experts, mixed.result.ticket, batch, batch.x).status.ok());
  }
  EXPECT_TRUE(experts->end_step({}).ok());
}

TEST_P(ExpertsSuite, GradientsAreTheSlopesOfTheSum) {
  const ExpertsShape shape;
  const auto experts = make(shape);
  Rng rng(4);
  Batch batch = random_batch(rng, shape, 9, 3);
  const Buffer<float> dy = random_rows(rng, 9, shape.expert.d);
  const Mixed mixed = mix(*experts, kLayer, batch, Keep::for_backward);
  const Gradients gradients = mix_backward(*experts, mixed.result.ticket, batch, dy);
  ASSERT_TRUE(gradients.status.ok()) << gradients.status;

  auto check = [&](const char* what, std::span<float> values, std::span<const float> gradient) {
    const std::vector<float> start(values.begin(), values.end());
    for (int trial = 0; trial < 4; ++trial) {
      const Buffer<float> direction = random_rows(rng, 1, static_cast<int64_t>(values.size()));
      auto at = [&](float step) {
        for (size_t i = 0; i < start.size(); ++i) values[i] = start[i] + step * direction.data()[i];
        const Mixed moved = mix(*experts, kLayer, batch, Keep::nothing);
        EXPECT_TRUE(moved.status.ok()) << moved.status;
        return dot(moved.y.flat(), dy.flat());
      };
      const float h = 0.004f;
      const double slope = (8.0 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12.0 * h);
      std::copy(start.begin(), start.end(), values.begin());
      const double expected = dot(gradient, direction.flat());
      EXPECT_NEAR(slope, expected, 2e-3 * (1.0 + std::abs(expected))) << what << ", direction " << trial;
    }
  };
  check("x", batch.x.flat(), gradients.dx.flat());
  check("weights", batch.route.weight, gradients.dweights);
}

TEST_P(ExpertsSuite, ATokensGradientDoesNotDependOnItsBatch) {
  for (const auto precision : {kernels::Precision::f32, kernels::Precision::bf16}) {
    ExpertsShape shape;
    shape.precision = precision;
    const auto experts = make(shape);
    Rng rng(5);
    const Batch batch = random_batch(rng, shape, 70, 2);
    const Buffer<float> dy = random_rows(rng, 70, shape.expert.d);
    const Mixed mixed = mix(*experts, kLayer, batch, Keep::for_backward);
    const Gradients together = mix_backward(*experts, mixed.result.ticket, batch, dy);
    ASSERT_TRUE(together.status.ok()) << together.status;
    for (const int64_t t : {0, 31, 69}) {
      const Batch one = one_token(batch, t);
      Buffer<float> dy_one(1, shape.expert.d, Purpose::scratch);
      std::copy_n(dy.row(t), shape.expert.d, dy_one.data());
      const Mixed mixed_one = mix(*experts, kLayer, one, Keep::for_backward);
      const Gradients alone = mix_backward(*experts, mixed_one.result.ticket, one, dy_one);
      ASSERT_TRUE(alone.status.ok()) << alone.status;
      EXPECT_TRUE(same_bits(alone.dx.data(), together.dx.row(t), shape.expert.d)) << t;
      EXPECT_TRUE(same_bits(alone.dweights.data(), together.dweights.data() + batch.route.first[t],
                            static_cast<int64_t>(alone.dweights.size())))
          << t;
    }
  }
}

TEST_P(ExpertsSuite, StepsMoveTheExpertsDownhill) {
  const ExpertsShape shape;
  const auto experts = make(shape);
  Rng rng(6);
  const Batch batch = random_batch(rng, shape, 40, 2);
  const double before = train_once(*experts, batch, 1);
  double after = before;
  for (int64_t step = 2; step <= 20; ++step) after = train_once(*experts, batch, step);
  EXPECT_LT(after, 0.5 * before);
}

TEST_P(ExpertsSuite, DroppedGradientsMoveNothing) {
  const ExpertsShape shape;
  const auto experts = make(shape), others = make(shape);
  Rng rng(6);
  const Batch given_up = random_batch(rng, shape, 40, 2), batch = random_batch(rng, shape, 40, 2);
  const Mixed mixed = mix(*experts, kLayer, given_up, Keep::for_backward);
  ASSERT_TRUE(mix_backward(*experts, mixed.result.ticket, given_up, mixed.y).status.ok());
  experts->drop_gradients();
  train_once(*experts, batch, 1);
  train_once(*others, batch, 1);
  const Mixed a = mix(*experts, kLayer, given_up, Keep::nothing);
  const Mixed b = mix(*others, kLayer, given_up, Keep::nothing);
  ASSERT_TRUE(a.status.ok() && b.status.ok()) << a.status << b.status;
  EXPECT_TRUE(same_bits(a.y.data(), b.y.data(), a.y.size()));
}

// Of a step that failed at one host and was tried again.
TEST_P(ExpertsSuite, AStepsNumberMayComeAgain) {
  const ExpertsShape shape;
  const auto experts = make(shape);
  Rng rng(6);
  const Batch batch = random_batch(rng, shape, 40, 2);
  const double first = train_once(*experts, batch, 1), second = train_once(*experts, batch, 1);
  EXPECT_LT(second, first);
  EXPECT_LT(train_once(*experts, batch, 2), second);
}

TEST_P(ExpertsSuite, AStepWithoutGradientsChangesNothing) {
  const ExpertsShape shape;
  const auto experts = make(shape);
  Rng rng(6);
  const Batch batch = random_batch(rng, shape, 40, 2);
  train_once(*experts, batch, 1);
  const Mixed before = mix(*experts, kLayer, batch, Keep::nothing);
  ASSERT_TRUE(experts->end_step({.step = 2}).ok());
  const Mixed after = mix(*experts, kLayer, batch, Keep::nothing);
  ASSERT_TRUE(before.status.ok() && after.status.ok()) << before.status << after.status;
  EXPECT_TRUE(same_bits(before.y.data(), after.y.data(), before.y.size()));
}

TEST_P(ExpertsSuite, GradientsOfMicroBatchesAddUp) {
  const ExpertsShape shape;
  const auto whole = make(shape), in_two = make(shape);
  Rng rng(7);
  Batch first = random_batch(rng, shape, 20, 2), second = random_batch(rng, shape, 30, 2);
  Batch both{.x = Buffer<float>(50, shape.expert.d, Purpose::scratch), .route = first.route};
  std::copy_n(first.x.data(), first.x.size(), both.x.data());
  std::copy_n(second.x.data(), second.x.size(), both.x.row(20));
  for (int64_t t = 1; t <= 30; ++t)
    both.route.first.push_back(first.route.first.back() + second.route.first[t]);
  both.route.expert.insert(both.route.expert.end(), second.route.expert.begin(), second.route.expert.end());
  both.route.weight.insert(both.route.weight.end(), second.route.weight.begin(), second.route.weight.end());

  train_once(*whole, both, 1);
  // Both forward passes first: tickets wait side by side, and are used in the other order.
  const Mixed mixed_first = mix(*in_two, kLayer, first, Keep::for_backward);
  const Mixed mixed_second = mix(*in_two, kLayer, second, Keep::for_backward);
  EXPECT_TRUE(mix_backward(*in_two, mixed_second.result.ticket, second, mixed_second.y).status.ok());
  EXPECT_TRUE(mix_backward(*in_two, mixed_first.result.ticket, first, mixed_first.y).status.ok());
  ASSERT_TRUE(in_two->end_step({.step = 1, .learning_rate = 0.01f}).ok());

  const Mixed a = mix(*whole, kLayer, both, Keep::nothing), b = mix(*in_two, kLayer, both, Keep::nothing);
  ASSERT_TRUE(a.status.ok() && b.status.ok()) << a.status << b.status;
  for (int64_t i = 0; i < a.y.size(); ++i) ASSERT_NEAR(a.y.data()[i], b.y.data()[i], 2e-3) << "element " << i;
}

TEST_P(ExpertsSuite, TicketsAreUsedOnce) {
  const ExpertsShape shape;
  const auto experts = make(shape);
  Rng rng(8);
  const Batch batch = random_batch(rng, shape, 4, 2);
  const Buffer<float> dy = random_rows(rng, 4, shape.expert.d);
  auto code = [&](Ticket ticket) { return mix_backward(*experts, ticket, batch, dy).status.code(); };
  EXPECT_EQ(code(Ticket{}), absl::StatusCode::kNotFound);
  EXPECT_EQ(code(Ticket{987654321}), absl::StatusCode::kNotFound);
  const Ticket used = mix(*experts, kLayer, batch, Keep::for_backward).result.ticket;
  EXPECT_EQ(code(used), absl::StatusCode::kOk);
  EXPECT_EQ(code(used), absl::StatusCode::kNotFound);
  const Ticket released = mix(*experts, kLayer, batch, Keep::for_backward).result.ticket;
  experts->release(released);
  experts->release(released);
  experts->release(Ticket{987654321});
  experts->release(Ticket{});
  EXPECT_EQ(code(released), absl::StatusCode::kNotFound);
}

TEST_P(ExpertsSuite, TheOldestTicketIsForgottenFirst) {
  ExpertsShape shape;
  shape.tickets_max = 3;
  const auto experts = make(shape);
  Rng rng(9);
  const Batch batch = random_batch(rng, shape, 4, 2);
  const Buffer<float> dy = random_rows(rng, 4, shape.expert.d);
  std::vector<Ticket> tickets;
  for (int i = 0; i < 5; ++i)
    tickets.push_back(mix(*experts, kLayer, batch, Keep::for_backward).result.ticket);
  for (size_t i = 0; i < tickets.size(); ++i) {
    EXPECT_EQ(mix_backward(*experts, tickets[i], batch, dy).status.code(),
              i < 2 ? absl::StatusCode::kNotFound : absl::StatusCode::kOk)
        << i;
  }
}

TEST_P(ExpertsSuite, RefusesWhatIsNotFinite) {
  const ExpertsShape shape;
  const auto experts = make(shape);
  Rng rng(10);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    Batch batch = random_batch(rng, shape, 5, 2);
    const Mixed good = mix(*experts, kLayer, batch, Keep::for_backward);
    batch.x.row(3)[1] = bad;
    EXPECT_EQ(mix(*experts, kLayer, batch, Keep::for_backward).status.code(),
              absl::StatusCode::kInvalidArgument);
    batch.x.row(3)[1] = 0.0f;
    batch.route.weight[2] = bad;
    EXPECT_EQ(mix(*experts, kLayer, batch, Keep::for_backward).status.code(),
              absl::StatusCode::kInvalidArgument);

    Buffer<float> dy = random_rows(rng, 5, shape.expert.d);
    dy.row(4)[0] = bad;
    EXPECT_EQ(mix_backward(*experts, good.result.ticket, batch, dy).status.code(),
              absl::StatusCode::kInvalidArgument);
    dy.row(4)[0] = 0.0f;
    EXPECT_TRUE(mix_backward(*experts, good.result.ticket, batch, dy).status.ok())
        << "the ticket should have stayed";
  }
}

TEST_P(ExpertsSuite, RefusesWrongShapesAndNumbers) {
  const ExpertsShape shape;
  const auto experts = make(shape);
  Rng rng(11);
  auto refused = [&](LayerId layer, const Batch& batch) {
    return mix(*experts, layer, batch, Keep::nothing).status.code() == absl::StatusCode::kInvalidArgument;
  };
  Batch batch = random_batch(rng, shape, 5, 2);
  EXPECT_TRUE(refused(LayerId{shape.layers}, batch));
  EXPECT_TRUE(refused(LayerId{-1}, batch));
  batch.route.expert[1] = static_cast<int32_t>(shape.experts);
  EXPECT_TRUE(refused(kLayer, batch));
  batch = random_batch(rng, shape, 5, 2);
  std::swap(batch.route.expert[0], batch.route.expert[1]);
  EXPECT_TRUE(refused(kLayer, batch));
  batch = random_batch(rng, shape, 5, 2);
  batch.route.first.pop_back();
  EXPECT_TRUE(refused(kLayer, batch));
  batch = random_batch(rng, shape, 5, 2);
  batch.x = random_rows(rng, 5, shape.expert.d + 1);
  EXPECT_TRUE(refused(kLayer, batch));
}

}  // namespace agora::tests
