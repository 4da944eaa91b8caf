#include "agora/moe/layer.h"

#include <algorithm>
#include <iterator>
#include <limits>

#include "agora/moe/balance/losses.h"
#include "agora/moe/local_experts.h"
#include "agora/moe/split.h"
#include "agora/moe/test_support.h"
#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

namespace agora::moe {
namespace {

using tensor::Buffer;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kExperts = 6;
constexpr int64_t kWidth = 10;

// Experts of which some never answer: what a gate sees when hosts are gone.
class WithoutSome final : public Experts {
 public:
  WithoutSome(LocalExperts& inner, std::vector<int32_t> gone) : inner_(inner), owner_(kExperts, 0) {
    for (const int32_t e : gone) owner_[e] = kNobody;
  }

  StatusOr<MixResult> mix(LayerId layer, View<const float> x, const Route& route, Keep keep,
                          Deadline deadline, View<float> y) override {
    std::fill_n(y.data, y.size(), 0.0f);
    choices_ = route.choices();
    part_ = split(route, owner_, 1)[0];
    const Buffer<float> rows = pick(x);
    Buffer<float> sums(rows.rows(), y.cols, Purpose::scratch);
    AGORA_ASSIGN_OR_RETURN(MixResult result,
                           inner_.mix(layer, rows.view(), part_.route, keep, deadline, sums.view()));
    spread(sums, y);
    result.arrived.assign(static_cast<size_t>(choices_), 0);
    for (const int32_t i : part_.choice) result.arrived[i] = 1;
    return result;
  }

  Status mix_backward(Ticket ticket, View<const float> dy, Deadline deadline, View<float> dx,
                      std::span<float> dweights) override {
    std::fill_n(dx.data, dx.size(), 0.0f);
    std::fill(dweights.begin(), dweights.end(), 0.0f);
    const Buffer<float> rows = pick(dy);
    Buffer<float> sums(rows.rows(), dx.cols, Purpose::scratch);
    std::vector<float> dpart(part_.choice.size());
    AGORA_RETURN_IF_ERROR(inner_.mix_backward(ticket, rows.view(), deadline, sums.view(), dpart));
    spread(sums, dx);
    for (size_t i = 0; i < dpart.size(); ++i) dweights[part_.choice[i]] = dpart[i];
    return absl::OkStatus();
  }

  void release(Ticket ticket) override { inner_.release(ticket); }
  Status end_step(const StepSettings& settings) override { return inner_.end_step(settings); }
  void drop_gradients() override { inner_.drop_gradients(); }

 private:
  Buffer<float> pick(View<const float> x) const {
    Buffer<float> rows(static_cast<int64_t>(part_.token.size()), x.cols, Purpose::scratch);
    for (size_t r = 0; r < part_.token.size(); ++r) std::copy_n(x.row(part_.token[r]), x.cols, rows.row(r));
    return rows;
  }
  void spread(const Buffer<float>& sums, View<float> y) const {
    for (size_t r = 0; r < part_.token.size(); ++r) std::copy_n(sums.row(r), y.cols, y.row(part_.token[r]));
  }

  LocalExperts& inner_;
  std::vector<int32_t> owner_;
  int64_t choices_ = 0;
  RoutePart part_;
};

struct Bench {
  explicit Bench(const MoeLayerConfig& config, kernels::Precision precision = kernels::Precision::f32,
                 std::vector<int32_t> gone = {})
      : machine(2, precision) {
    auto made = LocalExperts::create(
        machine.compute,
        {.experts = kExperts, .shape = {.d = kWidth, .h = 14, .deviation = 0.4f, .deviation_down = 0.4f}});
    EXPECT_TRUE(made.ok()) << made.status();
    local = *std::move(made);
    local->initialise(Rng(1));
    seam = std::make_unique<WithoutSome>(*local, gone);
    Experts& experts = gone.empty() ? static_cast<Experts&>(*local) : *seam;
    auto layered = MoeLayer::create("m", LayerId{0}, config, experts, Train::yes);
    EXPECT_TRUE(layered.ok()) << layered.status();
    layer = *std::move(layered);
    layer->initialise(Rng(2));
    layer->repack(machine.compute);
  }

  MoeStats forward(View<const float> x, View<float> y, const MoeCall& call = {}, Keep keep = Keep::nothing) {
    StatusOr<MoeStats> stats = layer->forward(machine.compute, x, call, keep, y, saved);
    EXPECT_TRUE(stats.ok()) << stats.status();
    return *std::move(stats);
  }

  TestCompute machine;
  std::unique_ptr<LocalExperts> local;
  std::unique_ptr<WithoutSome> seam;
  std::unique_ptr<MoeLayer> layer;
  MoeSaved saved;
};

MoeLayerConfig config_of(const GateDescriptor& gate) {
  return {.gate = gate, .d = kWidth, .deviation = 0.4f, .deviation_down = 0.4f};
}

// The whole layer by finite differences: rows, gate, shared expert and its gate, constants, the layer's own
// losses, and the experts behind the seam. Steps are short against the gaps between scores, so that choices
// stay.
void check_gradient(const MoeLayerConfig& config, const std::vector<int32_t>& gone = {}) {
  Bench bench(config, kernels::Precision::f32, gone);
  Rng rng(3);
  const int64_t tokens = 12;
  Buffer<float> x = random_rows(rng, tokens, kWidth), dy = random_rows(rng, tokens, kWidth);
  Buffer<float> y(tokens, kWidth, Purpose::scratch), dx(tokens, kWidth, Purpose::scratch);
  const int32_t sequences[] = {0, 5, 12};
  const MoeCall call{.mode = GateMode::train, .rng = Rng(6), .loss_scale = 0.5f, .sequence_first = sequences};
  std::vector<Parameter*> of_layer;
  bench.layer->append_parameters(of_layer);
  std::vector<ParameterView> parameters = tensor::views_of(of_layer);
  std::ranges::move(bench.local->parameters(), std::back_inserter(parameters));

  bench.forward(x.view(), y.view(), call, Keep::for_backward);
  const Route start = bench.saved.route;
  ASSERT_TRUE(bench.layer->backward(bench.machine.compute, x.view(), bench.saved, dy.view(), dx.view()).ok());
  auto loss = [&] {
    bench.layer->repack(bench.machine.compute);
    bench.local->repack();
    bench.layer->clear_loads();
    const MoeStats stats = bench.forward(x.view(), y.view(), call);
    EXPECT_EQ(bench.saved.route.expert, start.expert) << "a choice moved: take another seed";
    return dot(y.flat(), dy.flat()) + stats.aux_loss + stats.z_loss;
  };
  const float h = 4e-3f;
  expect_gradient("x", x.flat(), dx.flat(), loss, 1e-2, h);
  for (const ParameterView& p : parameters) {
    if (p.name.find("experts.5.") != std::string::npos || p.name.find("experts.") == std::string::npos ||
        p.name.find("constant") != std::string::npos) {
      expect_gradient(p.name, p.value.flat(), p.gradient.flat(), loss, 1e-2, h);
    }
  }
}

TEST(MoeLayerGradient, PlainTopK) {
  check_gradient(config_of({.experts = kExperts, .chosen = 2, .renormalise = true}));
}

TEST(MoeLayerGradient, EverythingAtOnce) {
  MoeLayerConfig config = config_of({.score = Score::sigmoid,
                                     .experts = kExperts,
                                     .chosen = 5,
                                     .renormalise = true,
                                     .scale = 2.5f,
                                     .linear_bias = true,
                                     .selection_bias = true,
                                     .noise = 0.5f,
                                     .zero_experts = 1,
                                     .copy_experts = 2,
                                     .constant_experts = 2});
  config.shared_h = 9;
  config.shared_gate = true;
  config.aux_loss_coefficient = 20.0f;
  config.z_loss_coefficient = 5.0f;
  for (const AuxScope scope : {AuxScope::micro_batch, AuxScope::sequence, AuxScope::global_batch}) {
    config.aux_scope = scope;
    check_gradient(config);
  }
}

TEST(MoeLayerGradient, WithMissingSummands) {
  check_gradient(config_of({.experts = kExperts, .chosen = 3, .renormalise = true}), {1, 4});
  check_gradient(config_of({.experts = kExperts, .chosen = 3, .copy_experts = 2}), {1, 4});
  check_gradient(config_of({.experts = kExperts,
                            .chosen = 4,
                            .score_before_selection = false,
                            .copy_experts = 2,
                            .constant_experts = 1}),
                 {0, 2});
}

TEST(MoeLayerGradient, ExpertChoiceAndDense) {
  check_gradient(config_of({.selection = Selection::expert_choice, .experts = kExperts, .chosen = 2}));
  check_gradient(config_of({.selection = Selection::all, .experts = kExperts, .chosen = kExperts}));
}

RC_GTEST_PROP(MoeLayer, ATokensAnswerDoesNotDependOnItsBatch, (uint16_t seed)) {
  MoeLayerConfig config = config_of({.experts = kExperts,
                                     .chosen = 3,
                                     .renormalise = true,
                                     .zero_experts = 1,
                                     .copy_experts = 1,
                                     .constant_experts = 1});
  config.shared_h = 9;
  config.shared_gate = true;
  static Bench bench(config, kernels::Precision::bf16);
  Rng rng(seed);
  const int64_t tokens = 1 + rng.below(300);
  const Buffer<float> x = random_rows(rng, tokens, kWidth);
  Buffer<float> together(tokens, kWidth, Purpose::scratch), alone(1, kWidth, Purpose::scratch);
  bench.forward(x.view(), together.view());
  const int64_t t = rng.below(static_cast<uint32_t>(tokens));
  bench.forward(x.view().rows_from(t, 1), alone.view());
  for (int64_t c = 0; c < kWidth; ++c) RC_ASSERT(alone.data()[c] == together.row(t)[c]);
}

// The identity as gate and copy experts alone: y = sum of weights * x, by hand.
TEST(MoeLayer, CopyExpertsReturnTheRowItself) {
  Bench bench(config_of(
      {.experts = kExperts, .chosen = 2, .renormalise = true, .zero_experts = 1, .copy_experts = 1}));
  std::vector<Parameter*> parameters;
  bench.layer->append_parameters(parameters);
  // exp(logits): 3 for the zero expert, 1 for the copy expert, next to nothing for the others: y = x / 4.
  Parameter& router = *parameters[0];
  nn::fill(router, 0.0f);
  for (int64_t e = 0; e < kExperts; ++e) router.value.row(e)[0] = -50.0f;
  router.value.row(kExperts)[0] = std::log(3.0f);
  bench.layer->repack(bench.machine.compute);
  std::vector<float> x(kWidth, 2.0f), y(kWidth);
  x[0] = 1.0f;
  const MoeStats stats =
      bench.forward(View<const float>(x.data(), 1, kWidth), View<float>(y.data(), 1, kWidth));
  EXPECT_NEAR(y[0], 0.25f, 1e-6f);
  EXPECT_NEAR(y[5], 0.5f, 1e-6f);
  EXPECT_THAT(stats.loads, ElementsAre(0, 0, 0, 0, 0, 0, 1, 1));
  EXPECT_EQ(stats.choices, 0);
}

TEST(MoeLayer, MissingSummandsAreMadeGood) {
  const GateDescriptor gate{.experts = kExperts, .chosen = 3, .renormalise = true};
  Bench whole(config_of(gate)), broken(config_of(gate), kernels::Precision::f32, {2, 3});
  Rng rng(5);
  const Buffer<float> x = random_rows(rng, 50, kWidth);
  Buffer<float> y(50, kWidth, Purpose::scratch), partial(50, kWidth, Purpose::scratch);
  whole.forward(x.view(), y.view());
  const MoeStats stats = broken.forward(x.view(), partial.view());
  const Route& route = broken.saved.route;
  EXPECT_EQ(stats.choices, 150);
  EXPECT_EQ(stats.choices_arrived, 150 - stats.loads[2] - stats.loads[3]);
  // What is left of the route, renormalised by hand, asked of all experts.
  for (int64_t t = 0; t < 50; ++t) {
    Route left{.first = {0}, .expert = {}, .weight = {}};
    float sum = 0;
    for (int32_t i = route.first[t]; i < route.first[t + 1]; ++i) {
      if (route.expert[i] == 2 || route.expert[i] == 3) continue;
      left.expert.push_back(route.expert[i]);
      left.weight.push_back(route.weight[i]);
      sum += route.weight[i];
    }
    for (float& w : left.weight) w /= sum;
    left.first.push_back(static_cast<int32_t>(left.expert.size()));
    Buffer<float> expected(1, kWidth, Purpose::scratch);
    ASSERT_TRUE(
        whole.local
            ->mix(LayerId{0}, x.view().rows_from(t, 1), left, Keep::nothing, kNoDeadline, expected.view())
            .ok());
    for (int64_t c = 0; c < kWidth; ++c) EXPECT_NEAR(partial.row(t)[c], expected.data()[c], 1e-4f);
    if (left.expert.size() == 3) {
      for (int64_t c = 0; c < kWidth; ++c) EXPECT_EQ(partial.row(t)[c], y.row(t)[c]);
    }
  }
}

TEST(MoeLayer, UnservedTokensAreCountedAndZero) {
  Bench broken(config_of({.experts = kExperts, .chosen = 1, .renormalise = true}), kernels::Precision::f32,
               {0, 1, 2, 3, 4, 5});
  Rng rng(5);
  const Buffer<float> x = random_rows(rng, 5, kWidth);
  Buffer<float> y(5, kWidth, Purpose::scratch);
  const MoeStats stats = broken.forward(x.view(), y.view());
  EXPECT_EQ(stats.tokens_unserved, 5);
  EXPECT_EQ(stats.choices_arrived, 0);
  EXPECT_THAT(y.flat(), testing::Each(0.0f));
}

TEST(MoeLayer, SelectionBiasEvensTheLoad) {
  MoeLayerConfig config =
      config_of({.score = Score::sigmoid, .experts = kExperts, .chosen = 2, .selection_bias = true});
  config.bias_rate = 0.01f;
  Bench bench(config);
  Rng rng(6);
  const Buffer<float> x = random_rows(rng, 500, kWidth);
  Buffer<float> y(500, kWidth, Purpose::scratch);
  const MoeCall call{.mode = GateMode::train};
  const double before = bench.forward(x.view(), y.view(), call).spread.max_violation;
  for (int step = 0; step < 60; ++step) {
    bench.layer->move_selection_bias(bench.layer->loads());
    bench.layer->clear_loads();
    bench.forward(x.view(), y.view(), call);
  }
  const double after = load_spread(bench.layer->loads()).max_violation;
  EXPECT_GT(before, 0.2);
  EXPECT_LT(after, 0.06);
}

TEST(MoeLayer, LoadsAddUpInTrainingOnly) {
  Bench bench(config_of({.experts = kExperts, .chosen = 2}));
  Rng rng(6);
  const Buffer<float> x = random_rows(rng, 50, kWidth);
  Buffer<float> y(50, kWidth, Purpose::scratch);
  auto total = [&] {
    int64_t sum = 0;
    for (const int64_t load : bench.layer->loads()) sum += load;
    return sum;
  };
  bench.forward(x.view(), y.view());
  EXPECT_EQ(total(), 0);
  bench.forward(x.view(), y.view(), {.mode = GateMode::train});
  bench.forward(x.view(), y.view(), {.mode = GateMode::train});
  EXPECT_EQ(total(), 200);
  bench.layer->clear_loads();
  EXPECT_EQ(total(), 0);
}

TEST(MoeLayer, ReleaseGivesTheTicketBackThatARefusedBackwardLeaves) {
  Bench bench(config_of({.experts = kExperts, .chosen = 2}));
  Rng rng(6);
  const Buffer<float> x = random_rows(rng, 5, kWidth);
  Buffer<float> y(5, kWidth, Purpose::scratch), dx(5, kWidth, Purpose::scratch);
  const auto backward = [&] {
    return bench.layer->backward(bench.machine.compute, x.view(), bench.saved, y.view(), dx.view()).code();
  };
  bench.forward(x.view(), y.view(), {}, Keep::for_backward);
  y.row(3)[1] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(backward(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(bench.local->tickets_held(), 1);
  bench.layer->release(bench.saved);
  EXPECT_EQ(bench.local->tickets_held(), 0);
  EXPECT_EQ(backward(), absl::StatusCode::kNotFound);
}

TEST(MoeLayer, EmptyBatch) {
  MoeLayerConfig config = config_of({.experts = kExperts, .chosen = 2, .copy_experts = 1});
  config.shared_h = 9;
  config.shared_gate = true;
  config.aux_loss_coefficient = 1;
  config.z_loss_coefficient = 1;
  Bench bench(config);
  const View<float> none(nullptr, 0, kWidth);
  bench.forward(none, none, {.mode = GateMode::train}, Keep::for_backward);
  EXPECT_TRUE(bench.layer->backward(bench.machine.compute, none, bench.saved, none, none).ok());
}

TEST(MoeLayer, NotFiniteRowsAreRefusedByTheGate) {
  Bench bench(config_of({.experts = kExperts, .chosen = 2}));
  Rng rng(6);
  Buffer<float> x = random_rows(rng, 5, kWidth);
  x.row(4)[3] = std::numeric_limits<float>::quiet_NaN();
  Buffer<float> y(5, kWidth, Purpose::scratch);
  const Status status =
      bench.layer->forward(bench.machine.compute, x.view(), {}, Keep::nothing, y.view(), bench.saved)
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("token 4 "));
}

TEST(MoeLayer, RefusesBadConfigurations) {
  auto refused = [](auto change, const std::string& field) {
    MoeLayerConfig config = config_of({.experts = kExperts, .chosen = 2});
    change(config);
    const Status status = validate(config);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(field));
  };
  refused([](MoeLayerConfig& c) { c.gate.chosen = 0; }, "chosen");
  refused([](MoeLayerConfig& c) { c.d = 0; }, "width");
  refused([](MoeLayerConfig& c) { c.shared_h = -4; }, "hidden");
  refused([](MoeLayerConfig& c) { c.shared_gate = true; }, "shared_gate");
  refused([](MoeLayerConfig& c) { c.aux_loss_coefficient = -1; }, "aux_loss");
  refused([](MoeLayerConfig& c) { c.z_loss_coefficient = std::numeric_limits<float>::infinity(); }, "z_loss");
  refused([](MoeLayerConfig& c) { c.bias_rate = 0.1f; }, "bias_rate");
}

TEST(MoeLayer, NamesOfParameters) {
  MoeLayerConfig config = config_of({.experts = kExperts, .chosen = 2, .constant_experts = 1});
  config.shared_h = 9;
  config.shared_gate = true;
  Bench bench(config);
  std::vector<Parameter*> parameters;
  bench.layer->append_parameters(parameters);
  std::vector<std::string> names;
  for (const Parameter* p : parameters) names.push_back(p->name);
  EXPECT_THAT(names, ElementsAre("m.gate.weight", "m.shared_expert.gate_proj.weight",
                                 "m.shared_expert.up_proj.weight", "m.shared_expert.down_proj.weight",
                                 "m.shared_expert_gate.weight", "m.constant_experts.weight"));
}

}  // namespace
}  // namespace agora::moe
