#include "agora/train/options.h"

#include <algorithm>
#include <cmath>

#include "agora/kernels/table.h"
#include "agora/model/model_folder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace agora::train {
namespace {

using ::testing::HasSubstr;

template <class Change>
std::string message(Change change) {
  TrainOptions options;
  change(options);
  return std::string(validate(options).message());
}

TEST(Options, AreGoodAsTheyAre) {
  EXPECT_EQ(message([](TrainOptions&) {}), "");
  EXPECT_EQ(message([](TrainOptions& o) { o.data = "caf\xc3\xa9"; }), "");
}

TEST(Options, WhatWouldEndTheProgramIsRefused) {
  EXPECT_THAT(message([](TrainOptions& o) { o.patch = 0; }),
              HasSubstr("--patch: expected 1 to 4096, found 0"));
  EXPECT_THAT(message([](TrainOptions& o) { o.domain_mb_max = -1; }), HasSubstr("--domain-mb-max"));
  EXPECT_THAT(message([](TrainOptions& o) { o.batch = 0; }), HasSubstr("--batch"));
  EXPECT_THAT(message([](TrainOptions& o) { o.minutes = 1e300; }), HasSubstr("--minutes"));
  EXPECT_THAT(message([](TrainOptions& o) { o.hidden = INT64_MAX; }), HasSubstr("--hidden"));
}

TEST(Options, WhatWouldSpoilTheWeightsIsRefused) {
  EXPECT_THAT(message([](TrainOptions& o) { o.beta2 = 1; }), HasSubstr("--beta2"));
  EXPECT_THAT(message([](TrainOptions& o) { o.beta2 = NAN; }), HasSubstr("--beta2"));
  EXPECT_THAT(message([](TrainOptions& o) { o.weight_decay = -1; }), HasSubstr("--weight-decay"));
  EXPECT_THAT(message([](TrainOptions& o) { o.aux_loss = INFINITY; }), HasSubstr("--aux-loss"));
  EXPECT_THAT(message([](TrainOptions& o) { o.bias_rate = NAN; }), HasSubstr("--bias-rate"));
}

TEST(Options, WordsThatNobodyKnowsAreRefused) {
  EXPECT_THAT(message([](TrainOptions& o) { o.schedule = "cosinus"; }),
              HasSubstr("--schedule: expected cosine or constant or wsd, found \"cosinus\""));
  EXPECT_THAT(message([](TrainOptions& o) { o.precision = "f64"; }), HasSubstr("--precision"));
}

TEST(Options, WhatCanNotBeSavedIsRefused) {
  EXPECT_THAT(message([](TrainOptions& o) { o.out = "caf\xe9"; }),
              HasSubstr("--out: expected UTF-8, found \"caf\\xe9\""));
  EXPECT_THAT(message([](TrainOptions& o) { o.name = "\xff"; }), HasSubstr("--name"));
}

// One weight divided by itself is 1, which has no gradient.
TEST(Options, AGateThatChoosesOneExpertLearns) {
  TrainOptions options;
  options.layers = options.heads = options.chosen = 1;
  options.width = options.hidden = 8;
  options.experts = 4;
  model::ModelConfig config = config_of(options).value();
  EXPECT_FALSE(config.gate.renormalise);
  config.vocab_size = config.max_position_embeddings = 16;
  base::ThreadPool pool(1);
  const kernels::Compute compute{&kernels::best_table(kernels::cpu_features()), &pool,
                                 kernels::Precision::f32};
  model::LocalModel model = model::make_model(config, compute, tensor::Train::yes, Rng(1)).value();
  model::Pass pass{.compute = compute};
  pass.call.mode = moe::GateMode::train;
  model::Batch batch{.batch = 1, .length = 4};
  batch.tokens = {1, 2, 3, 4};
  batch.targets = {2, 3, 4, 5};
  model::Tape tape;
  ASSERT_TRUE(model.model->learn(pass, batch, 0.25f, tape).ok());
  const std::vector<tensor::Parameter*> parameters = model.model->parameters();
  const auto gate = std::ranges::find(parameters, "model.layers.0.mlp.gate.weight", &tensor::Parameter::name);
  ASSERT_NE(gate, parameters.end());
  EXPECT_TRUE(std::ranges::any_of((*gate)->gradient.flat(), [](float g) { return g != 0; }));
}

TEST(Options, GroupsAreTheGates) {
  TrainOptions options;
  options.selection = "grouped_top_k";
  options.groups = 8;
  options.groups_chosen = 3;
  const moe::GateDescriptor gate = config_of(options)->gate;
  EXPECT_TRUE(moe::validate(gate).ok());
  EXPECT_EQ(gate.groups, 8);
  EXPECT_EQ(gate.groups_chosen, 3);
  options.groups = options.experts;
  EXPECT_TRUE(moe::validate(config_of(options)->gate).ok()) << "a group of one expert has one best";
  EXPECT_THAT(message([](TrainOptions& o) { o.groups = 2; }), HasSubstr("--groups: expected 1 without"));
  EXPECT_THAT(message([](TrainOptions& o) { o.groups_chosen = 2; }), HasSubstr("--groups-chosen"));
}

TEST(Options, OtherGatesRenormaliseAsTheyAreTold) {
  TrainOptions options;
  EXPECT_TRUE(config_of(options)->gate.renormalise);
  options.renormalise = false;
  EXPECT_FALSE(config_of(options)->gate.renormalise);
  options.renormalise = true;
  options.experts = options.chosen = 1;
  EXPECT_TRUE(config_of(options)->gate.renormalise);
}

}  // namespace
}  // namespace agora::train
