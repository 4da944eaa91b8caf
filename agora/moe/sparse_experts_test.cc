// Local experts of which only some are held, as on a host.
#include "agora/moe/local_experts.h"
#include "agora/moe/test_support.h"

namespace agora::moe {
namespace {

using tensor::Buffer;
using tensor::Purpose;

constexpr int64_t kExperts = 8;
constexpr int64_t kWidth = 12;
constexpr LayerId kLayer{0};

std::unique_ptr<LocalExperts> make(const TestCompute& machine, Hold hold) {
  auto experts = LocalExperts::create(
      machine.compute, {.experts = kExperts,
                        .shape = {.d = kWidth, .h = 20, .deviation = 0.3f, .deviation_down = 0.3f},
                        .hold = hold});
  EXPECT_TRUE(experts.ok()) << experts.status();
  (*experts)->initialise(Rng(5));
  return *std::move(experts);
}

void adopt(const TestCompute& machine, LocalExperts& experts, int64_t e) {
  Expert& expert = experts.hold(kLayer, ExpertId{e});
  experts.initialise(kLayer, ExpertId{e}, Rng(5));
  expert.repack(machine.compute);
}

std::vector<float> numbers(View<const float> rows) { return {rows.flat().begin(), rows.flat().end()}; }
std::vector<float> numbers(const Buffer<float>& rows) { return numbers(rows.view()); }

std::vector<float> gradients(LocalExperts& experts, int64_t e) {
  std::vector<float> result;
  for (const ParameterView& p : experts.expert(kLayer, ExpertId{e}).parameters()) {
    result.insert(result.end(), p.gradient.flat().begin(), p.gradient.flat().end());
  }
  return result;
}

class SparseExperts : public testing::TestWithParam<kernels::Precision> {
 protected:
  Buffer<float> rows() { return Buffer<float>(x.rows(), kWidth, Purpose::scratch); }

  TestCompute machine{2, GetParam()};
  Rng rng{6};
  Buffer<float> x = random_rows(rng, 40, kWidth);
  Buffer<float> dy = random_rows(rng, 40, kWidth);
  Route route = random_route(rng, 40, kExperts, 3);
  std::vector<float> dweights = std::vector<float>(route.expert.size());
};

TEST_P(SparseExperts, WhatIsNotHeldDoesNotArrive) {
  const auto whole = make(machine, Hold::all), sparse = make(machine, Hold::none);
  for (const int64_t e : {1, 2, 6}) adopt(machine, *sparse, e);
  Buffer<float> y = rows(), expected = rows(), dx = rows();
  const auto mixed = sparse->mix(kLayer, x.view(), route, Keep::for_backward, kNoDeadline, y.view());
  ASSERT_TRUE(mixed.ok()) << mixed.status();

  Route held{.first = {0}, .expert = {}, .weight = {}};
  for (int64_t t = 0; t < route.tokens(); ++t) {
    for (int32_t i = route.first[t]; i < route.first[t + 1]; ++i) {
      const bool here = sparse->holds(kLayer, ExpertId{route.expert[i]});
      EXPECT_EQ(mixed->arrived[i], here);
      if (!here) continue;
      held.expert.push_back(route.expert[i]);
      held.weight.push_back(route.weight[i]);
    }
    held.first.push_back(static_cast<int32_t>(held.expert.size()));
  }
  const auto reference = whole->mix(kLayer, x.view(), held, Keep::for_backward, kNoDeadline, expected.view());
  EXPECT_EQ(numbers(y), numbers(expected));

  Buffer<float> dx_expected = rows();
  std::vector<float> dweights_expected(held.expert.size());
  ASSERT_TRUE(
      whole->mix_backward(reference->ticket, dy.view(), kNoDeadline, dx_expected.view(), dweights_expected)
          .ok());
  ASSERT_TRUE(sparse->mix_backward(mixed->ticket, dy.view(), kNoDeadline, dx.view(), dweights).ok());
  EXPECT_EQ(numbers(dx), numbers(dx_expected));
  size_t next = 0;
  for (size_t i = 0; i < dweights.size(); ++i) {
    EXPECT_EQ(dweights[i], mixed->arrived[i] != 0 ? dweights_expected[next++] : 0.0f);
  }
  for (const int64_t e : {1, 2, 6}) EXPECT_EQ(gradients(*sparse, e), gradients(*whole, e));
}

TEST_P(SparseExperts, NothingHeldGivesNothing) {
  const auto sparse = make(machine, Hold::none);
  Buffer<float> y = random_rows(rng, 40, kWidth);
  const auto mixed = sparse->mix(kLayer, x.view(), route, Keep::for_backward, kNoDeadline, y.view());
  ASSERT_TRUE(mixed.ok()) << mixed.status();
  EXPECT_EQ(mixed->arrived, std::vector<uint8_t>(route.expert.size(), 0));
  EXPECT_EQ(numbers(y), std::vector<float>(40 * kWidth, 0.0f));
  Buffer<float> dx = random_rows(rng, 40, kWidth);
  ASSERT_TRUE(sparse->mix_backward(mixed->ticket, dy.view(), kNoDeadline, dx.view(), dweights).ok());
  EXPECT_EQ(numbers(dx), std::vector<float>(40 * kWidth, 0.0f));
  EXPECT_TRUE(sparse->end_step({}).ok());
}

TEST_P(SparseExperts, DroppedExpertsTakeTheirTicketsAlong) {
  const auto experts = make(machine, Hold::all);
  Buffer<float> y = rows(), dx = rows();
  const Route to_one{.first = std::vector<int32_t>(41, 0), .expert = {}, .weight = {}};
  const auto with = experts->mix(kLayer, x.view(), route, Keep::for_backward, kNoDeadline, y.view());
  const auto without = experts->mix(kLayer, x.view(), to_one, Keep::for_backward, kNoDeadline, y.view());
  experts->drop(kLayer, ExpertId{3});
  EXPECT_FALSE(experts->holds(kLayer, ExpertId{3}));
  EXPECT_EQ(experts->mix_backward(with->ticket, dy.view(), kNoDeadline, dx.view(), dweights).code(),
            absl::StatusCode::kNotFound);
  EXPECT_TRUE(experts->mix_backward(without->ticket, dy.view(), kNoDeadline, dx.view(), {}).ok());
  adopt(machine, *experts, 3);
  EXPECT_TRUE(experts->mix(kLayer, x.view(), route, Keep::nothing, kNoDeadline, y.view()).ok());
}

TEST_P(SparseExperts, EntriesAddUpToTheSum) {
  const auto experts = make(machine, Hold::all);
  experts->drop(kLayer, ExpertId{4});
  Buffer<float> y = rows(), sum = rows();
  Buffer<float> entries = random_rows(rng, route.choices(), kWidth);
  const auto mixed = experts->mix(kLayer, x.view(), route, Keep::nothing, kNoDeadline, y.view());
  const auto apart = experts->mix_entries(kLayer, x.view(), route, entries.view());
  ASSERT_TRUE(apart.ok()) << apart.status();
  EXPECT_EQ(apart->arrived, mixed->arrived);
  for (int64_t t = 0; t < route.tokens(); ++t) {
    for (int32_t i = route.first[t]; i < route.first[t + 1]; ++i) {
      for (int64_t c = 0; c < kWidth; ++c) {
        EXPECT_TRUE(apart->arrived[i] != 0 || entries.row(i)[c] == 0.0f);
        sum.row(t)[c] += entries.row(i)[c];
      }
    }
  }
  EXPECT_EQ(numbers(sum), numbers(y));
}

TEST_P(SparseExperts, HalvedGradientsAreExactAndTheirDxWhole) {
  const auto full = make(machine, Hold::all), halved = make(machine, Hold::all);
  Buffer<float> y = rows(), dx = rows(), dx_halved = rows();
  std::vector<float> dweights_halved(dweights.size());
  const auto a = full->mix(kLayer, x.view(), route, Keep::for_backward, kNoDeadline, y.view());
  const auto b = halved->mix(kLayer, x.view(), route, Keep::for_backward, kNoDeadline, y.view());
  ASSERT_TRUE(full->mix_backward(a->ticket, dy.view(), kNoDeadline, dx.view(), dweights).ok());
  const auto halvings = [](const Served& s) { return s.expert.value == 7 ? kNoGradient : s.expert.value; };
  ASSERT_TRUE(halved->mix_backward(b->ticket, dy.view(), halvings, dx_halved.view(), dweights_halved).ok());
  EXPECT_EQ(numbers(dx_halved), numbers(dx));
  EXPECT_EQ(dweights_halved, dweights);
  for (int64_t e = 0; e < kExperts; ++e) {
    std::vector<float> expected = gradients(*full, e);
    for (float& g : expected) g = e == 7 ? 0.0f : std::ldexp(g, -static_cast<int>(e));
    EXPECT_EQ(gradients(*halved, e), expected) << e;
    EXPECT_EQ(halved->touched(kLayer, ExpertId{e}), e != 7);
  }
}

TEST_P(SparseExperts, StepsOneByItself) {
  const auto together = make(machine, Hold::all), alone = make(machine, Hold::all);
  Buffer<float> y = rows(), dx = rows();
  for (LocalExperts* experts : {together.get(), alone.get()}) {
    const auto mixed = experts->mix(kLayer, x.view(), route, Keep::for_backward, kNoDeadline, y.view());
    ASSERT_TRUE(experts->mix_backward(mixed->ticket, dy.view(), kNoDeadline, dx.view(), dweights).ok());
  }
  ASSERT_TRUE(together->end_step({}).ok());
  ASSERT_TRUE(alone->step(kLayer, ExpertId{2}, {}, 1.0f).ok());
  const auto up = [](LocalExperts& experts, int64_t e) {
    return numbers(experts.expert(kLayer, ExpertId{e}).parameters()[1].value);
  };
  EXPECT_EQ(up(*alone, 2), up(*together, 2));
  EXPECT_NE(up(*alone, 3), up(*together, 3));
  EXPECT_EQ(alone->expert(kLayer, ExpertId{2}).version(), 1u);
  EXPECT_EQ(alone->expert(kLayer, ExpertId{3}).version(), 0u);
  EXPECT_FALSE(alone->touched(kLayer, ExpertId{2}));
  EXPECT_TRUE(alone->touched(kLayer, ExpertId{3}));
}

INSTANTIATE_TEST_SUITE_P(Precisions, SparseExperts,
                         testing::Values(kernels::Precision::f32, kernels::Precision::bf16));

}  // namespace
}  // namespace agora::moe
