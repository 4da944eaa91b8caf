// What local experts do beyond the seam's suite (tests/conformance).
#include "agora/moe/local_experts.h"

#include <limits>

#include "agora/moe/kept_rows.h"
#include "agora/moe/split.h"
#include "agora/moe/test_support.h"
#include <gmock/gmock.h>

namespace agora::moe {
namespace {

using tensor::Buffer;
using testing::HasSubstr;

constexpr int64_t kExperts = 8;
constexpr int64_t kWidth = 12;

LocalExpertsConfig small_config() {
  return {.experts = kExperts, .shape = {.d = kWidth, .h = 20, .deviation = 0.3f, .deviation_down = 0.3f}};
}

std::unique_ptr<LocalExperts> make(const TestCompute& machine,
                                   const LocalExpertsConfig& config = small_config()) {
  auto experts = LocalExperts::create(machine.compute, config);
  EXPECT_TRUE(experts.ok()) << experts.status();
  (*experts)->initialise(Rng(5));
  return *std::move(experts);
}

struct Answer {
  Buffer<float> y, dx;
  std::vector<float> dweights;
};

Answer ask(LocalExperts& experts, View<const float> x, const Route& route, View<const float> dy) {
  Answer answer{.y = Buffer<float>(x.rows, kWidth, tensor::Purpose::scratch),
                .dx = Buffer<float>(x.rows, kWidth, tensor::Purpose::scratch),
                .dweights = std::vector<float>(route.expert.size())};
  const auto mixed = experts.mix(LayerId{0}, x, route, Keep::for_backward, kNoDeadline, answer.y.view());
  EXPECT_TRUE(mixed.ok()) << mixed.status();
  EXPECT_TRUE(experts.mix_backward(mixed->ticket, dy, kNoDeadline, answer.dx.view(), answer.dweights).ok());
  return answer;
}

std::vector<float> numbers(View<const float> rows) { return {rows.flat().begin(), rows.flat().end()}; }
std::vector<float> numbers(const Buffer<float>& rows) { return numbers(rows.view()); }

std::vector<float> all_weights(LocalExperts& experts) {
  std::vector<float> result;
  for (const ParameterView& p : experts.parameters()) {
    for (const auto& part : {p.value, p.first, p.second}) {
      result.insert(result.end(), part.flat().begin(), part.flat().end());
    }
  }
  return result;
}

TEST(LocalExperts, ParametersByName) {
  TestCompute machine;
  LocalExpertsConfig config = small_config();
  config.layers = 2;
  const auto experts = make(machine, config);
  const std::vector<ParameterView> parameters = experts->parameters();
  ASSERT_EQ(parameters.size(), 2u * kExperts * 3);
  EXPECT_EQ(parameters.front().name, "model.layers.0.mlp.experts.0.gate_proj.weight");
  EXPECT_EQ(parameters.back().name, "model.layers.1.mlp.experts.7.down_proj.weight");
}

TEST(LocalExperts, RefusesBadConfigurations) {
  TestCompute machine;
  auto refused = [&](auto change, const std::string& field) {
    LocalExpertsConfig config = small_config();
    change(config);
    const auto experts = LocalExperts::create(machine.compute, config);
    EXPECT_EQ(experts.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(experts.status().message()), HasSubstr(field));
  };
  refused([](LocalExpertsConfig& c) { c.experts = 0; }, "experts");
  refused([](LocalExpertsConfig& c) { c.layers = 0; }, "layers");
  refused([](LocalExpertsConfig& c) { c.parts = kExperts + 1; }, "parts");
  refused([](LocalExpertsConfig& c) { c.tickets_max = 0; }, "tickets_max");
  refused([](LocalExpertsConfig& c) { c.shape.d = 0; }, "width");
  refused([](LocalExpertsConfig& c) { c.shape.h = -1; }, "hidden");
  refused([](LocalExpertsConfig& c) { c.shape.biases = true; }, "biases");
}

TEST(LocalExperts, AnyNumberOfThreadsSameBits) {
  for (const auto precision : {kernels::Precision::f32, kernels::Precision::bf16}) {
    TestCompute one(1, precision), three(3, precision);
    const auto alone = make(one), shared = make(three);
    Rng rng(6);
    for (int64_t step = 1; step <= 3; ++step) {
      const Buffer<float> x = random_rows(rng, 200, kWidth), dy = random_rows(rng, 200, kWidth);
      const Route route = random_route(rng, 200, kExperts, 3);
      const Answer a = ask(*alone, x.view(), route, dy.view()), b = ask(*shared, x.view(), route, dy.view());
      EXPECT_EQ(numbers(a.y), numbers(b.y));
      EXPECT_EQ(numbers(a.dx), numbers(b.dx));
      EXPECT_EQ(a.dweights, b.dweights);
      ASSERT_TRUE(alone->end_step({.step = step}).ok());
      ASSERT_TRUE(shared->end_step({.step = step}).ok());
      EXPECT_EQ(all_weights(*alone), all_weights(*shared));
    }
  }
}

// Four processes that hold two experts each, and a gate that adds their answers in order, against one process
// that splits its experts in four parts: the same bits, gradients, and experts after the step.
TEST(LocalExperts, PartsAreWhatHostsWouldDo) {
  TestCompute machine(2, kernels::Precision::bf16);
  LocalExpertsConfig config = small_config();
  config.parts = 4;
  const auto whole = make(machine, config);
  std::vector<std::unique_ptr<LocalExperts>> hosts;
  for (int i = 0; i < 4; ++i) hosts.push_back(make(machine));
  std::vector<int32_t> owner;
  for (int32_t e = 0; e < kExperts; ++e) owner.push_back(e / 2);

  Rng rng(7);
  const Buffer<float> x = random_rows(rng, 60, kWidth), dy = random_rows(rng, 60, kWidth);
  const Route route = random_route(rng, 60, kExperts, 3);
  const Answer expected = ask(*whole, x.view(), route, dy.view());

  Answer sum{.y = Buffer<float>(60, kWidth, tensor::Purpose::scratch),
             .dx = Buffer<float>(60, kWidth, tensor::Purpose::scratch),
             .dweights = std::vector<float>(route.expert.size())};
  const std::vector<RoutePart> parts = split(route, owner, 4);
  for (size_t p = 0; p < parts.size(); ++p) {
    const auto rows = static_cast<int64_t>(parts[p].token.size());
    Buffer<float> part_x(rows, kWidth, tensor::Purpose::scratch),
        part_dy(rows, kWidth, tensor::Purpose::scratch);
    for (int64_t r = 0; r < rows; ++r) {
      std::copy_n(x.row(parts[p].token[r]), kWidth, part_x.row(r));
      std::copy_n(dy.row(parts[p].token[r]), kWidth, part_dy.row(r));
    }
    const Answer answer = ask(*hosts[p], part_x.view(), parts[p].route, part_dy.view());
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < kWidth; ++c) {
        sum.y.row(parts[p].token[r])[c] += answer.y.row(r)[c];
        sum.dx.row(parts[p].token[r])[c] += answer.dx.row(r)[c];
      }
    }
    for (size_t i = 0; i < answer.dweights.size(); ++i) sum.dweights[parts[p].choice[i]] = answer.dweights[i];
  }
  EXPECT_EQ(numbers(sum.y), numbers(expected.y));
  EXPECT_EQ(numbers(sum.dx), numbers(expected.dx));
  EXPECT_EQ(sum.dweights, expected.dweights);

  ASSERT_TRUE(whole->end_step({.step = 1}).ok());
  for (const auto& host : hosts) ASSERT_TRUE(host->end_step({.step = 1}).ok());
  for (int32_t e = 0; e < kExperts; ++e) {
    const auto ours = whole->expert(LayerId{0}, ExpertId{e}).parameters();
    const auto theirs = hosts[owner[e]]->expert(LayerId{0}, ExpertId{e}).parameters();
    for (size_t i = 0; i < ours.size(); ++i) EXPECT_EQ(numbers(ours[i].value), numbers(theirs[i].value));
  }
}

TEST(LocalExperts, AnExpertWithoutRowsStandsStill) {
  TestCompute machine;
  const auto experts = make(machine);
  Rng rng(8);
  const Buffer<float> x = random_rows(rng, 4, kWidth), dy = random_rows(rng, 4, kWidth);
  const Route route{.first = {0, 1, 2, 3, 4}, .expert = {0, 0, 3, 3}, .weight = {1, 1, 1, 1}};
  auto values = [&](int32_t e) {
    return numbers(experts->expert(LayerId{0}, ExpertId{e}).parameters()[0].value);
  };
  const std::vector<float> busy = values(3), idle = values(1);
  ask(*experts, x.view(), route, dy.view());
  ASSERT_TRUE(experts->end_step({.step = 1}).ok());
  EXPECT_NE(values(3), busy);
  EXPECT_EQ(values(1), idle);
  const std::vector<float> after_one = values(3);
  ASSERT_TRUE(experts->end_step({.step = 2}).ok());
  EXPECT_EQ(values(3), after_one);
}

TEST(LocalExperts, OverflowedGradientsAreRefusedAndTrainingGoesOn) {
  TestCompute machine;
  const auto experts = make(machine);
  Rng rng(9);
  const Buffer<float> x = random_rows(rng, 20, kWidth);
  Buffer<float> dy = random_rows(rng, 20, kWidth);
  const Route route = random_route(rng, 20, kExperts, 2);
  const std::vector<float> before = all_weights(*experts);
  for (float& value : dy.flat()) value = std::copysign(3e38f, value);
  ask(*experts, x.view(), route, dy.view());
  const Status refused = experts->end_step({.step = 1});
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("model.layers.0.mlp.experts."));
  EXPECT_EQ(all_weights(*experts), before);

  for (float& value : dy.flat()) value = std::copysign(1.0f, value);
  ask(*experts, x.view(), route, dy.view());
  EXPECT_TRUE(experts->end_step({.step = 1}).ok());
  EXPECT_NE(all_weights(*experts), before);
}

TEST(LocalExperts, EachExpertIsClippedByItsOwnNorm) {
  TestCompute machine;
  const auto a = make(machine), b = make(machine);
  Rng rng(10);
  const Buffer<float> x = random_rows(rng, 20, kWidth), dy = random_rows(rng, 20, kWidth);
  const Route route = random_route(rng, 20, 1, 1);  // expert 0 alone
  ask(*a, x.view(), route, dy.view());
  ask(*b, x.view(), route, dy.view());
  Expert& expert = b->expert(LayerId{0}, ExpertId{0});
  const double norm = *expert.gradient_norm(machine.compute);
  EXPECT_GT(norm, 1.0);
  // A half of the norm allowed, against a gradient halved by hand. Epsilon is large so that size matters to
  // AdamW.
  StepSettings settings{.epsilon = 1.0f, .gradient_norm_max = static_cast<float>(norm / 2)};
  ASSERT_TRUE(a->end_step(settings).ok());
  const std::vector<ParameterView> parameters = expert.parameters();
  for (const ParameterView& p : parameters) {
    for (float& g : p.gradient.flat()) g *= 0.5f;
  }
  settings.gradient_norm_max = 0.0f;
  ASSERT_TRUE(b->end_step(settings).ok());
  const std::vector<ParameterView> clipped = a->expert(LayerId{0}, ExpertId{0}).parameters();
  for (size_t i = 0; i < parameters.size(); ++i) {
    for (int64_t k = 0; k < parameters[i].value.size(); ++k) {
      ASSERT_NEAR(parameters[i].value.data[k], clipped[i].value.data[k], 1e-6f);
    }
  }
}

TEST(LocalExperts, WithoutTrainingNothingCanBeKept) {
  TestCompute machine;
  LocalExpertsConfig config = small_config();
  config.train = Train::no;
  const auto experts = make(machine, config);
  Rng rng(11);
  const Buffer<float> x = random_rows(rng, 3, kWidth);
  const Route route = random_route(rng, 3, kExperts, 2);
  Buffer<float> y(3, kWidth, tensor::Purpose::scratch);
  EXPECT_TRUE(experts->mix(LayerId{0}, x.view(), route, Keep::nothing, kNoDeadline, y.view()).ok());
  EXPECT_EQ(
      experts->mix(LayerId{0}, x.view(), route, Keep::for_backward, kNoDeadline, y.view()).status().code(),
      absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(experts->end_step({}).ok());
  EXPECT_EQ(experts->tickets_held(), 0);
}

// The experts' own gradients, by finite differences, for every kind of network.
TEST(LocalExperts, GradientsOfTheWeights) {
  for (const auto activation : {Activation::swiglu, Activation::gelu, Activation::relu, Activation::linear}) {
    SCOPED_TRACE(static_cast<int>(activation));
    TestCompute machine;
    LocalExpertsConfig config = small_config();
    config.shape.activation = activation;
    config.shape.biases = activation != Activation::swiglu;
    const auto experts = make(machine, config);
    Rng rng(12);
    const Buffer<float> x = random_rows(rng, 30, kWidth), dy = random_rows(rng, 30, kWidth);
    const Route route = random_route(rng, 30, kExperts, 2);
    ask(*experts, x.view(), route, dy.view());
    for (const ParameterView& p : experts->parameters(LayerId{0}, ExpertId{2})) {
      auto loss = [&] {
        experts->repack();
        Buffer<float> y(30, kWidth, tensor::Purpose::scratch);
        EXPECT_TRUE(experts->mix(LayerId{0}, x.view(), route, Keep::nothing, kNoDeadline, y.view()).ok());
        return dot(y.flat(), dy.flat());
      };
      // relu bends where a product crosses zero: a short step meets few bends.
      const float h = activation == Activation::relu ? 0.004f : 0.03f;
      expect_gradient(p.name, p.value.flat(), p.gradient.flat(), loss, 1e-2, h);
    }
  }
}

// A small one kept the memory of the large call before it: two hundred, 600 kB by their rows, held 2 GB.
TEST(LocalExperts, ATicketKeepsNoMoreThanItsRows) {
  const TestCompute machine(1);
  const std::unique_ptr<LocalExperts> experts = make(machine);
  Rng rng(3);
  const auto mix = [&](int64_t tokens) {
    const Buffer<float> x = random_rows(rng, tokens, kWidth);
    Buffer<float> y(tokens, kWidth, tensor::Purpose::scratch);
    const Route route = random_route(rng, tokens, kExperts, 2);
    return experts->mix(LayerId{0}, x.view(), route, Keep::for_backward, kNoDeadline, y.view())->ticket;
  };
  const auto held = [] {
    return tensor::memory_count().bytes[static_cast<size_t>(tensor::Purpose::activation)];
  };
  const int64_t before = held();
  const Ticket first = mix(1000);
  const int64_t large = held() - before;
  experts->release(first);
  for (int i = 0; i < 50; ++i) {
    mix(1);
    experts->release(mix(1000));
  }
  EXPECT_LT(held() - before, 2 * large);
}

TEST(KeptRows, RoundAsTheKernelsDo) {
  TestCompute exact(2, kernels::Precision::f32), rounded(2, kernels::Precision::bf16);
  Rng rng(13);
  const Buffer<float> x = random_rows(rng, 300, 7);
  KeptRows kept;
  BatchRows<float> scratch(tensor::Purpose::scratch);
  kept.keep(exact.compute, x.view());
  const View<const float> same = kept.rows(exact.compute, scratch);
  for (int64_t i = 0; i < x.size(); ++i) ASSERT_EQ(same.data[i], x.data()[i]);
  kept.keep(rounded.compute, x.view());
  const View<const float> near = kept.rows(rounded.compute, scratch);
  for (int64_t i = 0; i < x.size(); ++i) ASSERT_EQ(near.data[i], to_float(tensor::to_bf16(x.data()[i])));
}

}  // namespace
}  // namespace agora::moe
