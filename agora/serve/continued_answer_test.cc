#include "agora/serve/continued_answer.h"

#include <gtest/gtest.h>

namespace agora::serve {
namespace {

using Next = ContinuedAnswer::Next;

std::string feed(ContinuedAnswer& answer, const AskPart& part) {
  return answer.on_part(encode(part).bytes());
}
std::vector<int32_t> asked_before(ContinuedAnswer& answer) {
  return decode_ask_request(answer.next_request().bytes())->answered;
}

TEST(ContinuedAnswer, AnotherServerGoesOnWhereOneFailed) {
  ContinuedAnswer answer({.prompt = "x", .tokens_max = 5});
  EXPECT_TRUE(asked_before(answer).empty());
  EXPECT_EQ(feed(answer, {0, {7}, "a"}), "a");
  EXPECT_EQ(feed(answer, {1, {8}, ""}), "");
  EXPECT_EQ(answer.on_reply(absl::UnavailableError("gone"), {}), Next::elsewhere);
  EXPECT_EQ(asked_before(answer), (std::vector{7, 8}));
  EXPECT_EQ(feed(answer, {2, {9}, "bc"}), "bc");
  const AskSummary end{.finish = Finish::stop, .answer_tokens = 1};
  EXPECT_EQ(answer.on_reply(absl::OkStatus(), encode(end).bytes()), Next::done);
  EXPECT_EQ(answer.summary().answer_tokens, 3);
  EXPECT_EQ(answer.servers(), 2);
}

TEST(ContinuedAnswer, BelievesNoServerThatSkipsOrRepeats) {
  for (const int64_t place : {0, 2}) {
    ContinuedAnswer answer({.prompt = "x", .tokens_max = 5});
    answer.next_request();
    feed(answer, {0, {7}, "a"});
    EXPECT_EQ(feed(answer, {place, {8}, "b"}), "");
    EXPECT_TRUE(answer.broken());
    EXPECT_EQ(feed(answer, {1, {8}, "b"}), "");
    EXPECT_EQ(answer.on_reply(absl::OkStatus(), encode(AskSummary{}).bytes()), Next::elsewhere);
    EXPECT_EQ(asked_before(answer), std::vector{7});
    EXPECT_FALSE(answer.broken());
  }
}

TEST(ContinuedAnswer, MoreTokensThanAskedForAreNotTaken) {
  ContinuedAnswer answer({.prompt = "x", .tokens_max = 2});
  answer.next_request();
  EXPECT_EQ(feed(answer, {0, {1, 2, 3}, "abc"}), "");
  EXPECT_TRUE(answer.broken());
}

TEST(ContinuedAnswer, GivesUpWhenTheQuestionIsAtFaultOrAllFail) {
  ContinuedAnswer wrong({.prompt = "x"});
  wrong.next_request();
  EXPECT_EQ(wrong.on_reply(absl::InvalidArgumentError("no"), {}), Next::failed);
  ContinuedAnswer answer({.prompt = "x"});
  for (int i = 1; i < ContinuedAnswer::kFailuresMax; ++i) {
    answer.next_request();
    EXPECT_EQ(answer.on_reply(absl::UnavailableError("gone"), {}), Next::elsewhere);
  }
  EXPECT_EQ(answer.on_reply(absl::UnavailableError("gone"), {}), Next::failed);
  EXPECT_EQ(answer.last_failure().message(), "gone");
}

}  // namespace
}  // namespace agora::serve
