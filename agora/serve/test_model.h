// A small model of bytes for tests: first weights, 24 rows.
#pragma once

#include "agora/base/check.h"
#include "agora/kernels/table.h"
#include "agora/model/model_folder.h"

namespace agora::serve {

inline model::ModelConfig test_config() {
  model::ModelConfig config;
  config.vocab_size = 256;
  config.hidden_size = 16;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 2;
  config.num_key_value_heads = 1;
  config.head_dim = 8;
  config.max_position_embeddings = 24;
  config.moe_intermediate_size = 16;
  config.initializer_range = 0.3f;
  config.gate = {.experts = 4, .chosen = 2, .renormalise = true};
  return config;
}

class TestModel {
 public:
  TestModel() : model_(*model::make_model(test_config(), compute(), tensor::Train::no, Rng(7))) {
    auto tokenizer = model::Tokenizer::train("", {.kind = model::TokenizerKind::bytes});
    AGORA_CHECK(tokenizer.ok());
    model_.tokenizer = *std::move(tokenizer);
  }

  kernels::Compute compute() {
    return {&kernels::best_table(kernels::cpu_features()), &pool_, kernels::Precision::bf16};
  }
  model::Pass pass() { return {.compute = compute()}; }
  model::LocalModel& model() { return model_; }

 private:
  base::ThreadPool pool_{2};
  model::LocalModel model_;
};

}  // namespace agora::serve
