#include "agora/weights/strict_json.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace agora::weights {
namespace {

using ::testing::HasSubstr;

std::string message(std::string_view text, const JsonLimits& limits = {}) {
  return std::string(parse_json(text, "c.json", limits).status().message());
}

TEST(StrictJson, ReadsOrdinaryJson) {
  const auto parsed = parse_json(R"({"a": [1, {"a": "}]\"{["}]})", "c.json");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ((*parsed)["a"][1]["a"], "}]\"{[");
}

TEST(StrictJson, RefusesWithTheReason) {
  EXPECT_THAT(message(""), HasSubstr("c.json is not usable JSON"));
  EXPECT_THAT(message("{\"a\": tru}"), HasSubstr("column 10"));
  EXPECT_THAT(message(R"({"a":1,"a":2})"), HasSubstr("the key \"a\" appears twice"));
  EXPECT_THAT(message(std::string(1000, '[')), HasSubstr("nests 1000 deep, the limit is 32"));
  EXPECT_THAT(message("[1]", {.bytes_max = 2}), HasSubstr("the limit is 2"));
  EXPECT_THAT(message("\"\xff\""), HasSubstr("UTF-8"));
  EXPECT_THAT(message(std::string_view("{}\0{", 4)), HasSubstr("zero byte"));
  EXPECT_LT(message('"' + std::string(100'000, 'x')).size(), 300u);
}

}  // namespace
}  // namespace agora::weights
