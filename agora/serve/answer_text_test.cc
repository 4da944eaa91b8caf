#include "agora/serve/answer_text.h"

#include <gtest/gtest.h>

namespace agora::serve {
namespace {

class AnswerTextTest : public ::testing::Test {
 protected:
  // All that is shown of these bytes, a token each, until the answer has ended.
  std::string shown(AnswerText& text, std::string_view bytes) const {
    std::string all;
    const std::vector<int32_t> tokens = *tokenizer_->encode(bytes);
    for (const int32_t token : tokens) {
      if (!text.finish()) all += text.take(token);
    }
    return all;
  }

  const std::shared_ptr<const model::Tokenizer> tokenizer_ =
      *model::Tokenizer::train("", {.kind = model::TokenizerKind::bytes});
};

// A beginning of a stop text, and after it a beginning of a character.
constexpr std::string_view kHeldTwice = "hello Us\xe2\x82";

TEST_F(AnswerTextTest, TheEndComesInTheOrderOfItsTokens) {
  AnswerText text(*tokenizer_, {"User:"}, std::ssize(kHeldTwice));
  EXPECT_EQ(shown(text, kHeldTwice), kHeldTwice);
  EXPECT_EQ(text.finish(), Finish::length);
  EXPECT_EQ(text.tokens(), std::ssize(kHeldTwice));
}

TEST_F(AnswerTextTest, SoDoesWhatWasHeldBackWhenItIsBrokenOff) {
  AnswerText text(*tokenizer_, {"User:"}, 100);
  EXPECT_EQ(shown(text, kHeldTwice), "hello ");
  EXPECT_FALSE(text.finish());
  EXPECT_EQ(text.rest(), "Us\xe2\x82");
}

TEST_F(AnswerTextTest, EndsBeforeAStopText) {
  AnswerText text(*tokenizer_, {"User:"}, 100);
  EXPECT_EQ(shown(text, "hello\nUser: and on"), "hello\n");
  EXPECT_EQ(text.finish(), Finish::stop);
  EXPECT_EQ(text.rest(), "");
}

TEST_F(AnswerTextTest, AStopTextThatEndsWithTheLastTokenStops) {
  AnswerText text(*tokenizer_, {"User:"}, 7);
  EXPECT_EQ(shown(text, "a User:"), "a ");
  EXPECT_EQ(text.finish(), Finish::stop);
}

}  // namespace
}  // namespace agora::serve
