#include "apps/cli/swarm/swarm_recipe.h"

#include <functional>

#include "absl/strings/str_replace.h"
#include "agora/train/counting_text.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agora::cli {
namespace {

using ::testing::HasSubstr;

class SwarmRecipe : public ::testing::Test {
 protected:
  SwarmRecipe() {
    options_.data = text_.file();
    options_.tokenizer = "bytes";
    options_.experts = 4;
    options_.learning_rate = 3e-4f;
    task_ = train::make_task(options_, nullptr, pool_).value();
  }
  StatusOr<swarm::SwarmSpec> spec_named(const std::string& name) {
    options_.name = name;
    return make_spec(options_, {}, *task_);
  }

  train::CountingText text_;
  train::TrainOptions options_;
  base::ThreadPool pool_{1};
  std::unique_ptr<train::Task> task_;
};

TEST_F(SwarmRecipe, IsReadAsItWasWritten) {
  for (const char* name : {"words", "a few words", "it's", "a, b", "[words]", "Wörter", "-x", "a = b"}) {
    const auto spec = spec_named(name);
    ASSERT_TRUE(spec.ok()) << spec.status();
    const auto options = options_of(*spec);
    ASSERT_TRUE(options.ok()) << options.status();
    EXPECT_EQ(options->name, name);
    EXPECT_EQ(options->learning_rate, options_.learning_rate);
    EXPECT_EQ(options->data, "");
  }
}

TEST_F(SwarmRecipe, ANameThatItCanNotHoldIsRefused) {
  for (const char* name : {"the \"best\"", "a\nb", "back \\", "C#", "'a b'", "a\\b", "a \"b"}) {
    const auto spec = spec_named(name);
    EXPECT_THAT(std::string(spec.status().message()), HasSubstr("--name: expected a text without quotes"))
        << name;
  }
}

TEST_F(SwarmRecipe, ASavedOneIsReadWhateverItsName) {
  swarm::SwarmSpec spec = spec_named("words").value();
  const std::string recipe = spec.recipe;
  for (const char* name : {"C:\\new", "a\"b", "\"words\""}) {
    spec.recipe = absl::StrReplaceAll(recipe, {{"words", name}});
    const auto options = options_of(spec);
    ASSERT_TRUE(options.ok()) << options.status();
    EXPECT_EQ(options->name, name);
  }
}

TEST_F(SwarmRecipe, TheSwarmsRulesAreInTheSpecification) {
  const SwarmRules rules{
      .updates = "sync", .rows_per_step = 96, .replicas = 3, .loss_window = 4, .experts_max = 4};
  const auto spec = make_spec(options_, rules, *task_);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->updates, swarm::UpdateMode::synchronous);
  EXPECT_EQ(spec->rows_per_step, 96);
  EXPECT_EQ(spec->replicas, 3);
  EXPECT_EQ(spec->loss_window_s, 4);
  EXPECT_EQ(spec->experts_max, 4);
}

TEST_F(SwarmRecipe, OfAModelThatCanNotBeIsRefused) {
  const auto refused = [&](const std::function<void(train::TrainOptions&)>& change) {
    train::TrainOptions options = options_;
    change(options);
    return std::string(make_spec(options, {}, *task_).status().message());
  };
  EXPECT_THAT(refused([](auto& o) { o.chosen = 9; }), HasSubstr("chosen must be 1 to 4"));
  EXPECT_THAT(refused([](auto& o) { o.selection = "all"; }), HasSubstr("chosen must be 4"));
  EXPECT_THAT(refused([](auto& o) { o.selection = "expert_choice"; }), HasSubstr("expert_choice"));
  EXPECT_THAT(refused([](auto& o) { o.kv_heads = 3; }), HasSubstr("num_key_value_heads"));
  EXPECT_THAT(refused([](auto& o) { o.head_width = 3; }), HasSubstr("\"head_dim\": expected an even number"));
  EXPECT_THAT(refused([](auto& o) { o.selection = "grouped_top_k", o.groups = 3; }),
              HasSubstr("groups must be a divisor"));
}

}  // namespace
}  // namespace agora::cli
