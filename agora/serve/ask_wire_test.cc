#include "agora/serve/ask_wire.h"

#include <cmath>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace agora::serve {
namespace {

AskRequest arbitrary_request() {
  AskRequest request;
  request.prompt = *rc::gen::arbitrary<std::string>();
  request.answered = *rc::gen::arbitrary<std::vector<int32_t>>();
  request.tokens_max = std::ssize(request.answered) + *rc::gen::inRange<int64_t>(1, 100);
  request.sampler.temperature = static_cast<float>(*rc::gen::inRange(0, 101));
  request.sampler.top_p = 1.0f / static_cast<float>(*rc::gen::inRange(1, 10));
  request.sampler.top_k = *rc::gen::inRange(0, 1000);
  request.sampler.repetition_penalty = 1.0f + static_cast<float>(*rc::gen::inRange(0, 10)) * 0.1f;
  request.sampler.seed = *rc::gen::arbitrary<uint64_t>();
  const size_t stops = *rc::gen::inRange<size_t>(0, kStopsMax + 1);
  for (size_t i = 0; i < stops; ++i) request.stops.push_back(std::string(i, 'x'));
  return request;
}

RC_GTEST_PROP(AskWire, RequestsGoRound, ()) {
  const AskRequest request = arbitrary_request();
  const auto back = decode_ask_request(encode(request).bytes());
  RC_ASSERT(back.ok());
  RC_ASSERT(back->prompt == request.prompt);
  RC_ASSERT(back->answered == request.answered);
  RC_ASSERT(back->tokens_max == request.tokens_max);
  RC_ASSERT(back->sampler == request.sampler);
  RC_ASSERT(back->stops == request.stops);
}

RC_GTEST_PROP(AskWire, PartsGoRound, (const std::vector<int32_t>& tokens, const std::string& text)) {
  const AskPart part{7, tokens, text};
  const auto back = decode_ask_part(encode(part).bytes());
  RC_ASSERT(back.ok());
  RC_ASSERT(*back == part);
}

// A cut, a byte more or a byte changed: an error or other numbers, never a crash.
RC_GTEST_PROP(AskWire, DamagedRequestsAreRefusedOrRead, (uint16_t at, uint8_t value)) {
  const peers::Payload whole = encode(arbitrary_request());
  std::vector<std::byte> bytes(whole.bytes().begin(), whole.bytes().end());
  RC_ASSERT(!decode_ask_request(whole.bytes().first(at % bytes.size())).ok());
  bytes[at % bytes.size()] = std::byte{value};
  (void)decode_ask_request(bytes);
  bytes.push_back(std::byte{value});
  RC_ASSERT(!decode_ask_request(bytes).ok());
}

TEST(AskWire, SummariesGoRound) {
  const AskSummary summary{.finish = Finish::stop,
                           .request = 9,
                           .prompt_tokens = 3,
                           .answer_tokens = 20,
                           .duration_us = 1'000'000,
                           .trunk_version = 4,
                           .expert_version_min = 5,
                           .expert_version_max = 8,
                           .by_replica = 100,
                           .by_hedge = 1,
                           .by_next_expert = 2,
                           .lost = 3,
                           .gate_mass = 50.5,
                           .gate_mass_lost = 0.25};
  const auto back = decode_ask_summary(encode(summary).bytes());
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, summary);
  AskSummary odd = summary;
  odd.gate_mass = NAN;
  EXPECT_FALSE(decode_ask_summary(encode(odd).bytes()).ok());
}

TEST(AskWire, NamesTheLimit) {
  AskRequest request;
  request.prompt = std::string(kPromptBytesMax + 1, 'x');
  EXPECT_EQ(decode_ask_request(encode(request).bytes()).status().message(),
            "ask: prompt: expected at most 262144, found 262145");
  request = {.prompt = "x", .tokens_max = kAnswerTokensMax + 1};
  EXPECT_EQ(decode_ask_request(encode(request).bytes()).status().code(), absl::StatusCode::kInvalidArgument);
  request = {.prompt = "x", .answered = {1, 2, 3}, .tokens_max = 2};
  EXPECT_EQ(decode_ask_request(encode(request).bytes()).status().message(),
            "ask: tokens that came before: expected at most 2, found 3");
  request = {.prompt = "x", .sampler = {.temperature = NAN}};
  EXPECT_FALSE(decode_ask_request(encode(request).bytes()).ok());
}

// A list that claims more than came takes no memory for it.
TEST(AskWire, BelievesNoLengths) {
  const std::vector<std::byte> bytes{std::byte{1},    std::byte{0},   std::byte{0},
                                     std::byte{0},    std::byte{0},   std::byte{0xff},
                                     std::byte{0xff}, std::byte{0x0}, std::byte{0}};
  EXPECT_EQ(decode_ask_request(bytes).status().message(),
            "ask: the bytes end within tokens that came before");
}

}  // namespace
}  // namespace agora::serve
