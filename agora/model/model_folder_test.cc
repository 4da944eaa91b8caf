#include "agora/model/model_folder.h"

#include "agora/base/test_folder.h"
#include "agora/kernels/table.h"
#include "agora/weights/atomic_file.h"
#include "agora/weights/weight_folder.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agora::model {
namespace {

using ::testing::HasSubstr;

// A model of images: it needs no tokenizer beside it.
ModelConfig small_config() {
  ModelConfig config;
  config.frontend = FrontendKind::patches;
  config.head = HeadKind::classes;
  config.causal = false;
  config.patches = {.height = 4, .width = 4, .patch = 2};
  config.vocab_size = 3;
  config.hidden_size = 8;
  config.num_hidden_layers = 1;
  config.num_attention_heads = 2;
  config.num_key_value_heads = 1;
  config.head_dim = 4;
  config.max_position_embeddings = config.patches.rows();
  config.moe_intermediate_size = 6;
  config.attention_bias = true;
  config.gate = {.experts = 2, .chosen = 1};
  return config;
}

class ModelFolderTest : public ::testing::Test {
 protected:
  kernels::Compute compute() {
    return {&kernels::best_table(kernels::cpu_features()), &pool_, kernels::Precision::f32};
  }

  // Saves a model with one tensor more, as other programs may, and loads it.
  Status loaded_with(const std::string& tensor) {
    auto model = make_model(small_config(), compute(), tensor::Train::no, Rng(1));
    EXPECT_TRUE(model.ok()) << model.status();
    std::vector<tensor::ParameterView> tensors = model->tensors();
    std::vector<float> numbers(8);
    tensors.push_back(tensors.back());
    tensors.back().name = tensor;
    tensors.back().value = {numbers.data(), 1, 8};
    std::vector<weights::TensorSpec> specs;
    for (const tensor::ParameterView& p : tensors) {
      specs.push_back({p.name, tensor::DType::f32, {p.value.rows, p.value.cols}});
    }
    EXPECT_TRUE(weights::write_file_atomic(folder_.path(kConfigFile), format_config(small_config())).ok());
    auto writer = weights::WeightFolderWriter::create(folder_.path(), specs, weights::kShardBytesMax);
    for (const tensor::ParameterView& p : tensors) EXPECT_TRUE((*writer)->add(p.name, p.value).ok());
    EXPECT_TRUE((*writer)->finish().ok());
    return load_model(folder_.path(), compute(), tensor::Train::no).status();
  }

 private:
  base::TestFolder folder_;
  base::ThreadPool pool_{1};
};

TEST_F(ModelFolderTest, ATensorWithoutAPlaceIsNamed) {
  const Status status = loaded_with("model.layers.0.self_attn.o_proj.bias");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("found 1 more, the first is \"model.layers.0.self_attn.o_proj.bias\""));
}

TEST_F(ModelFolderTest, WhatNobodyReadsMayBeThere) {
  EXPECT_TRUE(loaded_with("model.layers.0.self_attn.rotary_emb.inv_freq").ok());
}

}  // namespace
}  // namespace agora::model
