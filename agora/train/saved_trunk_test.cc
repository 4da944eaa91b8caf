#include "agora/train/saved_trunk.h"

#include "agora/kernels/table.h"
#include "agora/model/model_folder.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agora::train {
namespace {

using swarm::ExpertName;
using testing::ElementsAre;

class SavedTrunkTest : public testing::Test {
 protected:
  static model::ModelConfig config() {
    model::ModelConfig config;
    config.vocab_size = 11;
    config.hidden_size = 8;
    config.num_hidden_layers = 2;
    config.num_attention_heads = config.num_key_value_heads = 2;
    config.head_dim = 4;
    config.max_position_embeddings = 16;
    config.moe_intermediate_size = 4;
    config.gate = {.experts = 4, .chosen = 2, .entry_bias = true};
    return config;
  }
  // Of each layer.
  static std::vector<std::vector<float>> entry_biases(const SavedTrunk& saved) {
    std::vector<std::vector<float>> all;
    for (tensor::Parameter* p : saved.steered()) {
      const std::span<const float> values = p->value.flat();
      if (p->name.ends_with("entry_bias")) all.emplace_back(values.begin(), values.end());
    }
    return all;
  }

  base::ThreadPool pool_{1};
  const kernels::Compute compute_{&kernels::best_table(kernels::cpu_features()), &pool_,
                                  kernels::Precision::f32};
  StatusOr<model::LocalModel> model_ = model::make_model(config(), compute_, tensor::Train::no, Rng(1));
};

TEST_F(SavedTrunkTest, LayersOfDifferentCountsAreAsLargeAsTheLargest) {
  const SavedTrunk saved = SavedTrunk::of(*model_->model, {ExpertName{LayerId{1}, ExpertId{2}}});
  EXPECT_THAT(saved.experts()[1], ElementsAre(ExpertId{0}, ExpertId{1}, ExpertId{3}));
  EXPECT_EQ(saved.config().gate.experts, 4);
  EXPECT_THAT(entry_biases(saved), ElementsAre(ElementsAre(0, 0, 0, 0), ElementsAre(0, 0, 0, moe::kClosed)));
}

// Its config.json would be one that nobody reads: a gate can not choose more experts than it has.
TEST_F(SavedTrunkTest, WhereFewerAreLeftThanAGateChoosesTheFolderCanBeRead) {
  std::set<ExpertName> retired;
  for (int64_t l = 0; l < 2; ++l) {
    for (int64_t e = 1; e < 4; ++e) retired.insert({LayerId{l}, ExpertId{e}});
  }
  const SavedTrunk saved = SavedTrunk::of(*model_->model, retired);
  EXPECT_EQ(saved.config().gate.experts, 2);
  EXPECT_THAT(entry_biases(saved), ElementsAre(ElementsAre(0, moe::kClosed), ElementsAre(0, moe::kClosed)));
  const auto read = model::parse_config(model::format_config(saved.config()), "config.json");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(SavedTrunk::like(*model_->model, saved.experts(), *read).ok());
}

// A hostile host may say of any expert that it is retired.
TEST_F(SavedTrunkTest, AGateThatCanNotLeaveAnExpertOutKeepsAll) {
  model::ModelConfig all_open = config();
  all_open.gate.entry_bias = false;
  const auto model = model::make_model(all_open, compute_, tensor::Train::no, Rng(1));
  const SavedTrunk saved = SavedTrunk::of(*model->model, {ExpertName{LayerId{1}, ExpertId{2}}});
  EXPECT_EQ(saved.experts()[1].size(), 4u);
  EXPECT_FALSE(saved.config().gate.entry_bias);
}

}  // namespace
}  // namespace agora::train
