#include "agora/train/stepper.h"

#include <optional>

#include "agora/base/virtual_loop.h"
#include "agora/model/model_folder.h"
#include "agora/moe/test_support.h"
#include "agora/train/batches.h"
#include <gtest/gtest.h>

namespace agora::train {
namespace {

// Gives the baton away in every call, as experts on other machines do.
class AwayExperts final : public moe::Experts {
 public:
  AwayExperts(moe::Experts& inner, base::Baton* baton) : inner_(inner), baton_(baton) {}

  StatusOr<moe::MixResult> mix(LayerId layer, moe::View<const float> x, const moe::Route& route,
                               moe::Keep keep, moe::Deadline deadline, moe::View<float> y) override {
    if (calls_left_ == 0) return absl::UnavailableError("no host");
    if (calls_left_ > 0) --calls_left_;
    auto result = inner_.mix(layer, x, route, keep, deadline, y);
    const base::BatonRest rest(baton_);
    return result;
  }
  Status mix_backward(moe::Ticket ticket, moe::View<const float> dy, moe::Deadline deadline,
                      moe::View<float> dx, std::span<float> dweights) override {
    const Status status = inner_.mix_backward(ticket, dy, deadline, dx, dweights);
    const base::BatonRest rest(baton_);
    return status;
  }
  void release(moe::Ticket ticket) override { inner_.release(ticket); }
  Status end_step(const moe::StepSettings& settings) override { return inner_.end_step(settings); }
  void drop_gradients() override { inner_.drop_gradients(); }

  void fail_after(int64_t calls) { calls_left_ = calls; }  // of mix(); -1: never

 private:
  moe::Experts& inner_;
  base::Baton* baton_;
  int64_t calls_left_ = -1;
};

TrainOptions small_options() {
  TrainOptions o;
  o.vocabulary = 40;
  o.layers = 2;
  o.width = 24;
  o.heads = 2;
  o.experts = 4;
  o.hidden = 16;
  o.sequence = 12;
  o.batch = 8;
  return o;
}

// Of the model that such batches are for.
model::ModelConfig small_config(const TrainOptions& o) {
  model::ModelConfig config = *config_of(o);
  config.vocab_size = o.vocabulary;
  config.max_position_embeddings = o.sequence;
  return config;
}

model::Batch random_batch(const TrainOptions& o, uint64_t seed) {
  Rng rng(seed);
  model::Batch batch{.batch = o.batch, .length = o.sequence};
  for (int64_t t = 0; t < batch.rows(); ++t) {
    batch.tokens.push_back(static_cast<int32_t>(rng.below(static_cast<uint32_t>(o.vocabulary))));
    batch.targets.push_back(static_cast<int32_t>(rng.below(static_cast<uint32_t>(o.vocabulary))));
  }
  batch.domains.assign(static_cast<size_t>(batch.batch), 0);
  return batch;
}

// Losses of five steps on one batch.
std::vector<double> losses(int64_t micro_batches, bool together) {
  TrainOptions options = small_options();
  options.micro_batches = micro_batches;
  const moe::TestCompute machine(1);
  const model::ModelConfig config = small_config(options);
  auto model = model::make_model(config, machine.compute, tensor::Train::yes, Rng(3));
  EXPECT_TRUE(model.ok()) << model.status();
  base::VirtualLoop loop;  // for its threads only
  base::Baton baton(loop);
  AwayExperts away(*model->experts, together ? &baton : nullptr);
  model->model->use_experts(away);
  Flight flight;
  if (together) flight.baton = &baton;
  flight.in_flight_max = 3;
  Stepper stepper(options, machine.compute, *model->model, away, flight);
  std::vector<double> found;
  for (int64_t step = 1; step <= 5; ++step) {
    const auto report =
        stepper.step(random_batch(options, 9), {.step = step, .optimizer = step, .learning_rate = 5e-3f});
    EXPECT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->choices, options.layers * options.batch * options.sequence * options.chosen);
    EXPECT_EQ(report->choices_arrived, report->choices);
    found.push_back(report->loss);
    stepper.balance_by_own_loads();
  }
  return found;
}

TEST(Stepper, MicroBatchesTakeTheStepOfTheWholeBatch) {
  const std::vector<double> whole = losses(1, false);
  EXPECT_LT(whole.back(), whole.front());
  for (const auto& [micro_batches, together] :
       {std::pair{4, false}, std::pair{2, true}, std::pair{8, true}}) {
    const std::vector<double> parts = losses(micro_batches, together);
    for (size_t i = 0; i < whole.size(); ++i) EXPECT_NEAR(parts[i], whole[i], 2e-4) << micro_batches;
  }
}

// Trainers of a swarm have one seed, and must not draw one noise.
TEST(Stepper, TheGatesNoiseIsOfTheStreamThatItIsGiven) {
  TrainOptions options = small_options();
  options.noise = 1;
  const moe::TestCompute machine(1);
  const model::ModelConfig config = small_config(options);
  const auto loss_with = [&](const std::optional<Rng>& noise) {
    const model::LocalModel model =
        model::make_model(config, machine.compute, tensor::Train::yes, Rng(3)).value();
    Stepper stepper(options, machine.compute, *model.model, *model.experts);
    if (noise) stepper.use_noise(*noise);
    return stepper.step(random_batch(options, 9), {.learning_rate = 1e-2f}).value().loss;
  };
  EXPECT_EQ(loss_with(std::nullopt), loss_with(Rng(options.seed).fork("noise")));
  EXPECT_NE(loss_with(Rng(1)), loss_with(Rng(2)));
}

// The first micro-batch has given experts its gradients when the second fails.
TEST(Stepper, AStepThatFailsHalfwayLeavesNoGradients) {
  TrainOptions options = small_options();
  options.micro_batches = 2;
  const moe::TestCompute machine(1);
  const model::ModelConfig config = small_config(options);
  const auto loss_after = [&](bool failure) {
    const model::LocalModel model =
        model::make_model(config, machine.compute, tensor::Train::yes, Rng(3)).value();
    AwayExperts experts(*model.experts, nullptr);
    model.model->use_experts(experts);
    Stepper stepper(options, machine.compute, *model.model, experts);
    if (failure) {
      experts.fail_after(options.layers);
      const auto report = stepper.step(random_batch(options, 1), {.learning_rate = 1e-2f});
      EXPECT_TRUE(absl::IsUnavailable(report.status())) << report.status();
      experts.fail_after(-1);
    }
    EXPECT_TRUE(stepper.step(random_batch(options, 2), {.learning_rate = 1e-2f}).ok());
    return stepper.step(random_batch(options, 2), {.learning_rate = 1e-2f}).value().loss;
  };
  EXPECT_EQ(loss_after(true), loss_after(false));
}

TEST(Stepper, ABatchIsSplitBySequences) {
  TrainOptions options = small_options();
  const model::Batch batch = random_batch(options, 1);
  const std::vector<model::Batch> parts = split_batch(batch, 4);
  ASSERT_EQ(parts.size(), 4u);
  EXPECT_EQ(parts[3].batch, 2);
  EXPECT_EQ(parts[3].targets, std::vector<int32_t>(batch.targets.end() - 24, batch.targets.end()));
  EXPECT_TRUE(parts[3].patches.empty());
}

TEST(Stepper, ALossThatIsNoNumberLeavesTheTrunkAsItWas) {
  const TrainOptions options = small_options();
  const moe::TestCompute machine(1);
  const model::ModelConfig config = small_config(options);
  auto model = model::make_model(config, machine.compute, tensor::Train::yes, Rng(3));
  for (tensor::Parameter* p : model->model->parameters()) {
    if (p->name == "lm_head.weight") p->value.flat()[0] = INFINITY;
  }
  model->repack(machine.compute);
  const std::vector<float> before(model->model->parameters()[0]->value.flat().begin(),
                                  model->model->parameters()[0]->value.flat().end());
  Stepper stepper(options, machine.compute, *model->model, *model->experts);
  const auto report = stepper.step(random_batch(options, 9), {.learning_rate = 1e-2f});
  EXPECT_EQ(report.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(std::ranges::equal(before, model->model->parameters()[0]->value.flat()));
}

}  // namespace
}  // namespace agora::train
