#include "apps/cli/explain_gather.h"

#include "agora/base/thread_pool.h"
#include "agora/kernels/table.h"
#include "agora/train/text_task.h"
#include <gtest/gtest.h>

namespace agora::cli {
namespace {

// A folder of a swarm may have fewer experts open than its gates have room for.
TEST(ExplainGather, BalanceIsThatOfTheOpenExperts) {
  base::ThreadPool pool(1);
  const kernels::Compute compute{&kernels::best_table(kernels::cpu_features()), &pool,
                                 kernels::Precision::f32};
  train::TrainOptions options;
  options.tokenizer = "bytes";
  options.batch = 2;
  options.sequence = 8;
  train::Corpus corpus;
  corpus.domains.push_back({.name = "d", .train = {{"text", std::string(400, 'x')}}, .validation = {}});
  const auto task = train::make_corpus_task(options, std::move(corpus), nullptr, pool);
  ASSERT_TRUE(task.ok()) << task.status();

  model::ModelConfig config;
  config.hidden_size = 8;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 2;
  config.num_key_value_heads = 2;
  config.head_dim = 4;
  config.moe_intermediate_size = 4;
  config.gate = {.experts = 4, .chosen = 2, .entry_bias = true};
  auto model = model::make_model((*task)->shape(config), compute, tensor::Train::no, Rng(1));
  ASSERT_TRUE(model.ok()) << model.status();
  for (int64_t l = 0; l < 2; ++l) {
    const std::span<float> bias =
        model->model->block(LayerId{l}).mixture().gate().entry_bias()->value.view().flat();
    bias[static_cast<size_t>(l)] = bias[3] = moe::kClosed;
  }
  model->repack(compute);

  const auto all = specialisation_of(*model, compute, **task, 1000, 1);
  ASSERT_TRUE(all.ok()) << all.status();
  for (const train::LayerSpecialisation& layer : all->layers) {
    EXPECT_GT(layer.tokens, 0);
    EXPECT_DOUBLE_EQ(layer.balance.load_entropy_max, 1);  // two of four are open, and all tokens go to both
    EXPECT_DOUBLE_EQ(layer.balance.max_violation, 0);
  }
}

}  // namespace
}  // namespace agora::cli
