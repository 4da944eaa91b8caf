#include "agora/train/options.h"

#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace agora::train {
namespace {

using ::testing::HasSubstr;

template <class Change>
std::string message(Change change) {
  TrainOptions options;
  change(options);
  return std::string(validate(options).message());
}

TEST(Options, AreGoodAsTheyAre) {
  EXPECT_EQ(message([](TrainOptions&) {}), "");
  EXPECT_EQ(message([](TrainOptions& o) { o.data = "caf\xc3\xa9"; }), "");
}

TEST(Options, WhatWouldEndTheProgramIsRefused) {
  EXPECT_THAT(message([](TrainOptions& o) { o.patch = 0; }),
              HasSubstr("--patch: expected 1 to 4096, found 0"));
  EXPECT_THAT(message([](TrainOptions& o) { o.domain_mb_max = -1; }), HasSubstr("--domain-mb-max"));
  EXPECT_THAT(message([](TrainOptions& o) { o.batch = 0; }), HasSubstr("--batch"));
  EXPECT_THAT(message([](TrainOptions& o) { o.minutes = 1e300; }), HasSubstr("--minutes"));
  EXPECT_THAT(message([](TrainOptions& o) { o.hidden = INT64_MAX; }), HasSubstr("--hidden"));
}

TEST(Options, WhatWouldSpoilTheWeightsIsRefused) {
  EXPECT_THAT(message([](TrainOptions& o) { o.beta2 = 1; }), HasSubstr("--beta2"));
  EXPECT_THAT(message([](TrainOptions& o) { o.beta2 = NAN; }), HasSubstr("--beta2"));
  EXPECT_THAT(message([](TrainOptions& o) { o.weight_decay = -1; }), HasSubstr("--weight-decay"));
  EXPECT_THAT(message([](TrainOptions& o) { o.aux_loss = INFINITY; }), HasSubstr("--aux-loss"));
  EXPECT_THAT(message([](TrainOptions& o) { o.bias_rate = NAN; }), HasSubstr("--bias-rate"));
}

TEST(Options, WordsThatNobodyKnowsAreRefused) {
  EXPECT_THAT(message([](TrainOptions& o) { o.schedule = "cosinus"; }),
              HasSubstr("--schedule: expected cosine or constant or wsd, found \"cosinus\""));
  EXPECT_THAT(message([](TrainOptions& o) { o.precision = "f64"; }), HasSubstr("--precision"));
}

TEST(Options, WhatCanNotBeSavedIsRefused) {
  EXPECT_THAT(message([](TrainOptions& o) { o.out = "caf\xe9"; }),
              HasSubstr("--out: expected UTF-8, found \"caf\\xe9\""));
  EXPECT_THAT(message([](TrainOptions& o) { o.name = "\xff"; }), HasSubstr("--name"));
}

}  // namespace
}  // namespace agora::train
