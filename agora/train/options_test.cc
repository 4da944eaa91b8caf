#include "agora/train/options.h"

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

TEST(Options, WhatCanNotBeSavedIsRefused) {
  EXPECT_THAT(message([](TrainOptions& o) { o.out = "caf\xe9"; }),
              HasSubstr("--out: expected UTF-8, found \"caf\\xe9\""));
  EXPECT_THAT(message([](TrainOptions& o) { o.name = "\xff"; }), HasSubstr("--name"));
}

}  // namespace
}  // namespace agora::train
