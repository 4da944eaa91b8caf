#include "agora/serve/completions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agora::serve {
namespace {

using ::testing::HasSubstr;

std::string refusal(std::string_view body) {
  const auto completion = parse_completion(body, "words");
  EXPECT_FALSE(completion.ok()) << body;
  return std::string(completion.status().message());
}

TEST(Completions, ReadsWhatOpenAiSends) {
  const auto c = parse_completion(
      R"({"model": "words", "prompt": "once", "max_tokens": 7, "temperature": 0.5, "top_p": 0.9, "top_k": 4,
          "repetition_penalty": 1.5, "n": 1, "stream": true, "stop": ["a", "b"], "seed": 3, "user": "me",
          "logprobs": null, "suffix": null, "echo": false})",
      "words");
  ASSERT_TRUE(c.ok()) << c.status();
  EXPECT_EQ(c->request.prompt, "once");
  EXPECT_EQ(c->request.tokens_max, 7);
  EXPECT_EQ(c->request.sampler,
            (SamplerSettings{
                .temperature = 0.5f, .top_p = 0.9f, .top_k = 4, .repetition_penalty = 1.5f, .seed = 3}));
  EXPECT_EQ(c->request.stops, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(c->stream && c->seed_given);
  const auto least = parse_completion(R"({"prompt": "", "stop": "x"})", "words");
  ASSERT_TRUE(least.ok()) << least.status();
  EXPECT_EQ(least->request.tokens_max, 16);
  EXPECT_EQ(least->request.stops, std::vector<std::string>{"x"});
  EXPECT_FALSE(least->stream || least->seed_given);
}

TEST(Completions, RefusesByNameWhatItCanNotDo) {
  EXPECT_THAT(refusal("{"), HasSubstr("the request"));
  EXPECT_THAT(refusal("[]"), HasSubstr("object"));
  EXPECT_THAT(refusal("{}"), HasSubstr("\"prompt\": expected one text, found null"));
  EXPECT_THAT(refusal(R"({"prompt": ["a", "b"]})"), HasSubstr("prompt"));
  EXPECT_THAT(refusal(R"({"prompt": "x", "max_tokens": -1})"), HasSubstr("max_tokens"));
  EXPECT_THAT(refusal(R"({"prompt": "x", "max_tokens": 1e9})"), HasSubstr("max_tokens"));
  EXPECT_THAT(refusal(R"({"prompt": "x", "max_tokens": 99999999999999999999})"), HasSubstr("max_tokens"));
  EXPECT_THAT(refusal(R"({"prompt": "x", "temperature": "hot"})"), HasSubstr("temperature"));
  EXPECT_THAT(refusal(R"({"prompt": "x", "temperature": -1})"), HasSubstr("temperature"));
  EXPECT_THAT(refusal(R"({"prompt": "x", "top_p": 0})"), HasSubstr("ask: top_p: expected above 0"));
  EXPECT_THAT(refusal(R"({"prompt": "x", "stop": [1]})"), HasSubstr("stop"));
  EXPECT_THAT(refusal(R"({"prompt": "x", "stream": 1})"), HasSubstr("stream"));
  for (const char* key : {"n", "best_of", "logprobs"}) {
    EXPECT_THAT(refusal(std::string(R"({"prompt": "x", ")") + key + R"(": 2})"), HasSubstr(key));
  }
  EXPECT_EQ(parse_completion(R"({"prompt": "x", "model": "other"})", "words").status().code(),
            absl::StatusCode::kNotFound);
}

TEST(Completions, WritesWhatOpenAiSays) {
  const CompletionHead head{"cmpl-1", 1700000000, "words"};
  const AskSummary summary{.finish = Finish::stop, .prompt_tokens = 2, .answer_tokens = 3, .gate_mass = 1};
  const auto whole = nlohmann::json::parse(completion_json(head, "text\xff", summary));
  EXPECT_EQ(whole["object"], "text_completion");
  EXPECT_EQ(whole["choices"][0]["text"], "text\xef\xbf\xbd");
  EXPECT_EQ(whole["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(whole["usage"]["total_tokens"], 5);
  EXPECT_EQ(whole["agora"]["gate_mass"], 1);
  const auto chunk = nlohmann::json::parse(completion_chunk(head, "x"));
  EXPECT_EQ(chunk["choices"][0]["finish_reason"], nullptr);
  EXPECT_EQ(nlohmann::json::parse(models_json("words", 5))["data"][0]["id"], "words");
  const HttpError error = http_error(absl::ResourceExhaustedError("full"));
  EXPECT_EQ(error.code, 429);
  EXPECT_EQ(nlohmann::json::parse(error.body)["error"]["message"], "full");
}

}  // namespace
}  // namespace agora::serve
