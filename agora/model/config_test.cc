#include "agora/model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agora::model {
namespace {

using ::testing::HasSubstr;

ModelConfig example() {
  ModelConfig config;
  config.vocab_size = 100;
  config.hidden_size = 64;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 16;
  config.max_position_embeddings = 128;
  config.moe_intermediate_size = 32;
  config.gate = {.score = moe::Score::sigmoid, .experts = 8, .chosen = 2, .renormalise = true, .scale = 2.5f};
  config.gate.selection_bias = true;
  return config;
}

TEST(Config, ComesBackAsItWasWritten) {
  const ModelConfig config = example();
  const auto again = parse_config(format_config(config), "config.json");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(format_config(*again), format_config(config));
  EXPECT_EQ(again->gate.score, moe::Score::sigmoid);
  EXPECT_FLOAT_EQ(again->gate.scale, 2.5f);
}

TEST(Config, RoomForExpertsIsWrittenWhereThereIsSome) {
  ModelConfig config = example();
  EXPECT_EQ(format_config(config).find("entry_bias"), std::string::npos);
  const auto roomy = with_room(config, 20);
  ASSERT_TRUE(roomy.ok()) << roomy.status();
  EXPECT_EQ(roomy->gate.experts, 20);
  EXPECT_TRUE(parse_config(format_config(*roomy), "config.json")->gate.entry_bias);
  EXPECT_FALSE(with_room(config, 7).ok());
  config.gate.selection = moe::Selection::expert_choice;
  EXPECT_FALSE(with_room(config, 9).ok());
  EXPECT_FALSE(with_room(config, 8)->gate.entry_bias);
}

// What transformers writes for Qwen3MoeForCausalLM, with small sizes. `changes` stand over what is there.
StatusOr<ModelConfig> of_others(const std::string& changes) {
  nlohmann::json json = nlohmann::json::parse(R"({
    "architectures": ["Qwen3MoeForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
    "bos_token_id": 1,
    "decoder_sparse_step": 1, "eos_token_id": 2, "head_dim": 8, "hidden_act": "silu", "hidden_size": 32,
    "initializer_range": 0.02, "intermediate_size": 96, "max_position_embeddings": 64, "mlp_only_layers": [],
    "model_type": "qwen3_moe", "moe_intermediate_size": 16, "norm_topk_prob": true, "num_attention_heads": 4,
    "num_experts": 4, "num_experts_per_tok": 2, "num_hidden_layers": 2, "num_key_value_heads": 2,
    "output_router_logits": false, "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 1000000.0,
    "router_aux_loss_coef": 0.001, "sliding_window": null, "tie_word_embeddings": false,
    "torch_dtype": "bfloat16", "use_cache": true, "vocab_size": 50})");
  json.update(nlohmann::json::parse(changes));
  return parse_config(json.dump(), "config.json");
}

TEST(Config, ReadsAConfigOfOthers) {
  const auto config = of_others("{}");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->head_dim, 8);
  EXPECT_EQ(config->gate.experts, 4);
  EXPECT_TRUE(config->gate.renormalise);
  EXPECT_TRUE(config->qk_norm);
  EXPECT_FLOAT_EQ(config->rope_theta, 1e6f);
}

TEST(Config, ReadsTheNewerSpelling) {
  const auto config = of_others(R"({"rope_theta": null, "dtype": "bfloat16", "num_experts": null,
      "num_local_experts": 8, "rope_parameters": {"rope_theta": 5000000.0, "rope_type": "default"}})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_FLOAT_EQ(config->rope_theta, 5e6f);
  EXPECT_EQ(config->gate.experts, 8);
  EXPECT_THAT(std::string(of_others(R"({"num_experts": null})").status().message()),
              HasSubstr("\"num_experts\": expected a value"));
}

TEST(Config, RefusesArithmeticThatModelsHereDoNotHave) {
  const std::pair<const char*, const char*> refused[] = {
      {R"({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}})", "rope_parameters: key \"rope_type\""},
      {R"({"rope_scaling": {"type": "linear", "factor": 4.0}})", "rope_scaling: key \"type\""},
      {R"({"rope_scaling": {"factor": 4.0}})", "rope_scaling: key \"factor\""},
      {R"({"rope_parameters": {"partial_rotary_factor": 0.5}})", "\"partial_rotary_factor\": expected 1"},
      {R"({"rope_parameters": {"full_attention": {"rope_theta": 1.0}}})", "one object for all layers"},
      {R"({"rope_scaling": "yarn"})", "one object for all layers"},
      {R"({"partial_rotary_factor": 0.5})", "\"partial_rotary_factor\": expected 1"},
      {R"({"use_sliding_window": true, "sliding_window": 32})", "\"use_sliding_window\": expected false"},
      {R"({"use_sliding_window": true, "sliding_window": "all"})", "use_sliding_window"},
      {R"({"layer_types": ["full_attention", "sliding_attention"]})", "found \"sliding_attention\""},
      {R"({"mlp_only_layers": [0]})", "\"mlp_only_layers\": expected []"},
      {R"({"decoder_sparse_step": 2})", "\"decoder_sparse_step\": expected 1"},
      {R"({"hidden_act": "gelu"})", "hidden_act"},
      {R"({"quantization_config": {"quant_method": "fp8"}})", "\"quantization_config\": expected null"}};
  for (const auto& [changes, message] : refused) {
    const auto config = of_others(changes);
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << changes;
    EXPECT_THAT(std::string(config.status().message()), HasSubstr(message));
  }
  for (const char* harmless : {R"({"use_sliding_window": true, "sliding_window": null})",
                               R"({"use_sliding_window": true, "sliding_window": 64})",
                               R"({"use_sliding_window": false, "sliding_window": 32})",
                               R"({"rope_scaling": {"rope_type": "default", "factor": 1.0}})",
                               R"({"layer_types": ["full_attention", "full_attention"]})"}) {
    EXPECT_TRUE(of_others(harmless).ok()) << of_others(harmless).status();
  }
}

TEST(Config, SaysWhichKeyIsWrongAndWhatWasExpected) {
  const auto message = [](const std::string& from, const std::string& to) {
    std::string text = format_config(example());
    text.replace(text.find(from), from.size(), to);
    return std::string(parse_config(text, "c.json").status().message());
  };
  EXPECT_THAT(message("\"hidden_size\": 64", "\"hidden_size\": \"64\""),
              HasSubstr("c.json: key \"hidden_size\": expected a whole number, found \"64\""));
  EXPECT_THAT(message("\"hidden_size\": 64", "\"hidden_size\": 0"), HasSubstr("hidden_size"));
  EXPECT_THAT(message("\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3"), HasSubstr("multiple"));
  EXPECT_THAT(message("\"head_dim\": 16", "\"head_dim\": 15"), HasSubstr("head_dim"));
  EXPECT_THAT(message("\"vocab_size\": 100", "\"vocab_size\": 99999999999"), HasSubstr("vocab_size"));
  EXPECT_THAT(message("\"num_experts_per_tok\": 2", "\"num_experts_per_tok\": 9"), HasSubstr("9"));
  EXPECT_THAT(message("\"frontend\": \"text\"", "\"frontend\": \"patches\""), HasSubstr("\"patch\""));
  EXPECT_THAT(message("\"head\": \"next_token\"", "\"head\": \"classes\""), HasSubstr("text and classes"));
  EXPECT_THAT(message("qwen3_moe", "bert"), HasSubstr("found bert"));
  EXPECT_THAT(message("sigmoid", "tanh"), HasSubstr("softmax, sigmoid"));
  EXPECT_THAT(message("\"causal\"", "\"cuasal\""), HasSubstr("agora: key \"cuasal\": expected no such key"));
  EXPECT_THAT(message("\"groups\"", "\"grups\""), HasSubstr("agora.gate: key \"grups\""));
  EXPECT_THAT(std::string(of_others(R"({"agora": 5})").status().message()),
              HasSubstr("key \"agora\": expected an object, found 5"));
  EXPECT_THAT(std::string(of_others(R"({"agora": {"gate": []}})").status().message()),
              HasSubstr("agora: key \"gate\": expected an object"));
  EXPECT_TRUE(of_others(R"({"agora": {"gate": {}}})").ok());
  EXPECT_THAT(std::string(parse_config("[1, 2", "c.json").status().message()),
              HasSubstr("expected a JSON object"));
}

// An expert that chooses among the batch's tokens sees those that come later, and those of others.
TEST(Config, ExpertChoiceIsForModelsThatSayNothingWordByWord) {
  ModelConfig config = example();
  config.gate = {.selection = moe::Selection::expert_choice, .experts = 8, .chosen = 2};
  config.frontend = FrontendKind::patches;
  config.patches = {.height = 4, .width = 4, .patch = 2};
  config.head = HeadKind::classes;
  config.causal = false;
  EXPECT_TRUE(validate(config).ok()) << validate(config);
  for (const auto& [head, causal] :
       {std::pair(HeadKind::next_token, true), {HeadKind::next_token, false}, {HeadKind::classes, true}}) {
    config.head = head;
    config.causal = causal;
    EXPECT_EQ(validate(config).code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(validate(config).message()), HasSubstr("expert_choice"));
  }
}

// Each size alone is within its limit.
TEST(Config, RefusesWhatNoMachineHolds) {
  ModelConfig config = example();
  EXPECT_TRUE(validate(config).ok());
  config.hidden_size = int64_t{1} << 24;
  config.moe_intermediate_size = int64_t{1} << 24;
  EXPECT_THAT(std::string(validate(config).message()), HasSubstr("parameters in all"));
}

}  // namespace
}  // namespace agora::model
