#include "agora/swarm/spec.h"

#include <functional>
#include <limits>

#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

namespace agora::swarm {
namespace {

using testing::HasSubstr;

SwarmSpec small() {
  SwarmSpec spec;
  spec.name = "test";
  spec.files = {{"config.json", "{}"}, {"tokenizer.model", std::string("\0\1\2", 3)}};
  spec.recipe = "steps = 3\n";
  spec.layers = 2;
  spec.experts = 8;
  spec.experts_max = 16;
  spec.shape = {.d = 12, .h = 20};
  return spec;
}

TEST(Spec, ComesBackAndKeepsItsName) {
  const SwarmSpec spec = small();
  const std::string bytes = spec.bytes();
  const auto read = read_spec(base::as_bytes(bytes));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->bytes(), bytes);
  EXPECT_EQ(read->id(), spec.id());
  EXPECT_EQ(read->files, spec.files);
  EXPECT_EQ(read->shape.h, 20);
  SwarmSpec other = spec;
  other.seed = 2;
  EXPECT_NE(other.id(), spec.id());
}

TEST(Spec, NamesTheFieldThatIsWrong) {
  const auto refused = [](const std::function<void(SwarmSpec&)>& change, const std::string& field) {
    SwarmSpec spec = small();
    change(spec);
    const auto read = read_spec(base::as_bytes(spec.bytes()));
    EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument) << field;
    EXPECT_THAT(std::string(read.status().message()), HasSubstr(field));
  };
  refused([](SwarmSpec& s) { s.name.clear(); }, "name");
  refused([](SwarmSpec& s) { s.files["../x"] = ""; }, "file name");
  refused([](SwarmSpec& s) { s.files[".hidden"] = ""; }, "file name");
  refused([](SwarmSpec& s) { s.layers = 0; }, "layers");
  refused([](SwarmSpec& s) { s.experts = 17; }, "experts");
  refused([](SwarmSpec& s) { s.layers = s.experts_max = 4096; }, "layers * experts_max");
  refused([](SwarmSpec& s) { s.shape.d = -1; }, "width");
  refused([](SwarmSpec& s) { s.shape.activation = static_cast<moe::Activation>(9); }, "activation");
  refused([](SwarmSpec& s) { s.updates = static_cast<UpdateMode>(2); }, "updates");
  refused([](SwarmSpec& s) { s.replicas = 0; }, "replicas");
  refused([](SwarmSpec& s) { s.loss_window_s = std::numeric_limits<double>::quiet_NaN(); }, "loss_window_s");
  refused([](SwarmSpec& s) { s.step.learning_rate = -1; }, "learning_rate");
  refused([](SwarmSpec& s) { s.gradient_norm_limit = std::numeric_limits<double>::infinity(); },
          "gradient_norm_limit");
}

TEST(Spec, CutOrLongerIsRefused) {
  const std::string bytes = small().bytes();
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(read_spec(base::as_bytes(std::string_view(bytes).substr(0, n))).ok()) << n;
  }
  EXPECT_FALSE(read_spec(base::as_bytes(bytes + "x")).ok());
}

RC_GTEST_PROP(SpecProperty, WhatReadsIsCanonical, (const std::map<uint16_t, uint8_t>& changes)) {
  std::string bytes = small().bytes();
  for (const auto& [at, value] : changes) bytes[at % bytes.size()] = static_cast<char>(value);
  const auto read = read_spec(base::as_bytes(bytes));
  if (read.ok()) RC_ASSERT(read->bytes() == bytes);
}

}  // namespace
}  // namespace agora::swarm
