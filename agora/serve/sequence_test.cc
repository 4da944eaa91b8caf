#include "agora/serve/sequence.h"

#include "agora/serve/generate.h"
#include "agora/serve/test_model.h"
#include "agora/tensor/buffer.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agora::serve {
namespace {

using ::testing::HasSubstr;

class SequenceTest : public ::testing::Test, protected TestModel {};

std::vector<int32_t> tokens_of(Generation& generation, int count) {
  std::vector<int32_t> tokens;
  for (int i = 0; i < count; ++i) {
    const auto token = generation.next();
    EXPECT_TRUE(token.ok()) << token.status();
    tokens.push_back(*token);
  }
  return tokens;
}

TEST(FirstTokenRead, KeepsAtLeastHalfOfTheRows) {
  EXPECT_EQ(first_token_read(10, 10), 0);
  EXPECT_EQ(first_token_read(11, 10), 5);
  EXPECT_EQ(first_token_read(15, 10), 5);
  EXPECT_EQ(first_token_read(16, 10), 10);
  for (int64_t rows = 1; rows < 9; ++rows) {
    for (int64_t tokens = 1; tokens < 40; ++tokens) {
      const int64_t read = tokens - first_token_read(tokens, rows);
      EXPECT_LE(read, rows);
      EXPECT_GE(read, std::min(tokens, (rows + 1) / 2));
    }
  }
}

// Taken over at any place, also when the model's rows have run out several times.
TEST_F(SequenceTest, GoesOnWhereAnotherWas) {
  const SamplerSettings settings{.temperature = 1, .repetition_penalty = 1.2f, .seed = 5};
  const std::vector<int32_t> prompt{1, 2, 3};
  constexpr int kTokens = 70;  // of a model of 24 rows
  const auto generation = Generation::start(*model().model, pass(), prompt, settings, kTokens);
  const std::vector<int32_t> whole = tokens_of(**generation, kTokens);
  for (const int64_t before : {0, 1, 20, 21, 22, 45, 69}) {
    std::vector<int32_t> tokens = prompt;
    tokens.insert(tokens.end(), whole.begin(), whole.begin() + before);
    Sequence sequence(model().config(), tokens, settings, {.answered = before, .tokens_max = kTokens});
    sequence.open();
    while (std::ssize(sequence.tokens()) < 3 + kTokens) {
      const model::SequenceStep step = sequence.step(std::min<int64_t>(5, std::ssize(sequence.unread())));
      ASSERT_TRUE(model().model->extend(pass(), {&step, 1}).ok());
      if (sequence.unread().empty()) sequence.sample();
    }
    EXPECT_TRUE(std::equal(whole.begin(), whole.end(), sequence.tokens().begin() + 3)) << before;
  }
}

TEST_F(SequenceTest, TakesNoMoreCacheThanItsTokens) {
  const Sequence sequence(model().config(), {1, 2, 3}, {}, {.tokens_max = 4});
  EXPECT_EQ(sequence.cache_bytes(), model::SequenceCache::bytes(model().config(), 7));
  const Sequence endless(model().config(), {1, 2, 3}, {}, {.tokens_max = INT64_MAX});
  EXPECT_EQ(endless.cache_bytes(), model::SequenceCache::bytes(model().config(), 24));
}

TEST_F(SequenceTest, AGenerationTakesNoMoreCacheThanItsTokens) {
  const auto begin = [&] { return *Generation::start(*model().model, pass(), {1, 2, 3}, {}, 4); };
  tokens_of(*begin(), 4);  // from now on the model has its scratch
  const auto bytes = [] {
    return tensor::memory_count().bytes[static_cast<size_t>(tensor::Purpose::activation)];
  };
  const int64_t before = bytes();
  const auto generation = begin();
  EXPECT_EQ(bytes() - before, model::SequenceCache::bytes(model().config(), 7));
  tokens_of(*generation, 4);
}

// Of a model whose sequences may be so long that no machine has the memory: 8 TB here.
TEST_F(SequenceTest, AGenerationThatNoMemoryHoldsIsRefused) {
  model::ModelConfig config = test_config();
  config.num_hidden_layers = 1;
  config.num_attention_heads = config.num_key_value_heads = 64;
  config.head_dim = 1024;
  config.max_position_embeddings = int64_t{1} << 24;
  const auto large = model::make_model(config, compute(), tensor::Train::no, Rng(7));
  ASSERT_TRUE(large.ok()) << large.status();
  const auto start = [&](int64_t tokens_max) {
    return Generation::start(*large->model, pass(), {1, 2, 3}, {}, tokens_max).status();
  };
  EXPECT_EQ(start(INT64_MAX).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(start(INT64_MAX).message()), HasSubstr("ask for fewer tokens"));
  EXPECT_TRUE(start(2).ok()) << start(2);
}

}  // namespace
}  // namespace agora::serve
