#include "agora/serve/trace_json.h"

#include "agora/serve/test_model.h"
#include <gtest/gtest.h>

namespace agora::serve {
namespace {

TEST(TraceJson, GoesRound) {
  TestModel test;
  auto trace =
      model::trace_text(*test.model().model, *test.model().tokenizer, test.compute(), "a\xc3\xa4\xff");
  ASSERT_TRUE(trace.ok()) << trace.status();
  ASSERT_EQ(trace->size(), 4u);
  (*trace)[1].layers[0].choices[0].served = model::ServedAt{"abcd", 7, "hedge", ExpertId{2}};
  const Json json = trace_json(*trace);
  EXPECT_EQ(json[1]["layers"][0]["choices"][0]["served"]["version"], 7);
  EXPECT_EQ(json[3]["token_hex"], "ff");
  const auto back = read_trace_json(nlohmann::json::parse(json.dump()));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(trace_json(*back), json);
}

TEST(TraceJson, NamesWhatIsWrong) {
  for (const char* text :
       {R"({})", R"([1])", R"([{"position": 0, "token": "x"}])",
        R"([{"position": "0", "token": "x", "layers": []}])",
        R"([{"position": 0, "token": "x", "layers": [{"choices": [{"expert": 1e30}]}]}])",
        R"([{"position": 0, "token": "x", "token_hex": "0g", "layers": []}])",
        // Who shows a text goes by its first token's layers, and paints by experts' numbers.
        R"([{"position": 0, "token": "x", "layers": [{"choices": []}]},
             {"position": 1, "token": "y", "layers": []}])",
        R"([{"position": 0, "token": "x", "layers": [{"choices": [
             {"expert": -1, "weight": 1, "score": 1, "bias": 0}]}]}])"}) {
    EXPECT_EQ(read_trace_json(nlohmann::json::parse(text)).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
}

TEST(TraceJson, TextsAreAlwaysUtf8) {
  EXPECT_EQ(json_text("a\xff\xc3"), "a\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(token_json("ok"), Json({{"token", "ok"}}));
}

}  // namespace
}  // namespace agora::serve
