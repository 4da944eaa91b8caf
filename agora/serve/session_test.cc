#include "agora/serve/session.h"

#include "agora/serve/test_model.h"
#include <gtest/gtest.h>

namespace agora::serve {
namespace {

class SessionTest : public ::testing::Test, protected TestModel {};

// Bytes whose texts begin with the byte 1.
class BehindBos final : public model::Tokenizer {
 public:
  explicit BehindBos(const model::Tokenizer& bytes) : bytes_(bytes) {}
  model::TokenizerKind kind() const override { return bytes_.kind(); }
  int32_t vocab_size() const override { return bytes_.vocab_size(); }
  StatusOr<std::vector<int32_t>> encode(std::string_view text) const override { return bytes_.encode(text); }
  std::string_view token_bytes(int32_t id) const override { return bytes_.token_bytes(id); }
  Status save(const std::string& dir) const override { return bytes_.save(dir); }
  int32_t bos_id() const override { return 1; }
  bool bos_in_front() const override { return true; }

 private:
  const model::Tokenizer& bytes_;
};

TEST_F(SessionTest, ReadsThePromptAsTheTokenizerBeginsIt) {
  const ServedTrunk trunk{1, std::shared_ptr<model::Model>(model().model.get(), [](model::Model*) {})};
  const auto tokens = [&](const model::Tokenizer& tokenizer, std::string prompt) {
    const auto session = Session::create(trunk, tokenizer, {.prompt = std::move(prompt), .tokens_max = 1});
    EXPECT_TRUE(session.ok()) << session.status();
    EXPECT_EQ((*session)->prompt_tokens(), std::ssize((*session)->sequence().tokens()));
    return (*session)->sequence().tokens();
  };
  using Tokens = std::vector<int32_t>;
  EXPECT_EQ(tokens(*model().tokenizer, "ab"), (Tokens{'a', 'b'}));
  EXPECT_EQ(tokens(*model().tokenizer, ""), (Tokens{0}));
  EXPECT_EQ(tokens(BehindBos(*model().tokenizer), "ab"), (Tokens{1, 'a', 'b'}));
  EXPECT_EQ(tokens(BehindBos(*model().tokenizer), ""), (Tokens{1}));
}

}  // namespace
}  // namespace agora::serve
