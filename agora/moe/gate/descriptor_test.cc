#include "agora/moe/gate/descriptor.h"

#include <limits>

#include "agora/moe/gate/known_gates.h"
#include <gmock/gmock.h>

namespace agora::moe {
namespace {

using testing::HasSubstr;

void expect_refused(const GateDescriptor& gate, const std::string& field) {
  const Status status = validate(gate);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(field));
}

TEST(GateDescriptor, EveryPublishedGateIsValid) {
  for (const KnownGate& gate : known_gates()) EXPECT_TRUE(validate(gate.descriptor).ok()) << gate.release;
}

TEST(GateDescriptor, RefusalsNameTheField) {
  expect_refused({.experts = 0, .chosen = 1}, "experts");
  expect_refused({.experts = kGateCandidatesMax + 1, .chosen = 1}, "experts");
  expect_refused({.experts = kGateCandidatesMax, .chosen = 1, .zero_experts = 1}, "candidates");
  expect_refused({.experts = 4, .chosen = 0}, "chosen");
  expect_refused({.experts = 4, .chosen = 5}, "chosen");
  expect_refused({.experts = 4, .chosen = 1, .zero_experts = -1}, "zero_experts");
  expect_refused({.experts = 4, .chosen = 2, .scale = 0.0f}, "scale");
  expect_refused({.experts = 4, .chosen = 2, .scale = std::numeric_limits<float>::quiet_NaN()}, "scale");
  expect_refused({.experts = 4, .chosen = 2, .noise = -1.0f}, "noise");
  expect_refused({.experts = 4, .chosen = 2, .renormalise_epsilon = -1.0f}, "renormalise_epsilon");
  expect_refused({.selection = Selection::all, .experts = 4, .chosen = 2}, "chosen");
  expect_refused({.selection = Selection::expert_choice, .experts = 4, .chosen = 2, .zero_experts = 1},
                 "zero");
  expect_refused({.selection = static_cast<Selection>(9), .experts = 4, .chosen = 2}, "selection");
}

TEST(GateDescriptor, GroupsMustFit) {
  const GateDescriptor good{
      .selection = Selection::grouped_top_k, .experts = 8, .chosen = 2, .groups = 4, .groups_chosen = 2};
  EXPECT_TRUE(validate(good).ok());
  GateDescriptor bad = good;
  bad.groups = 3;
  expect_refused(bad, "groups");
  bad = good;
  bad.groups_chosen = 5;
  expect_refused(bad, "groups_chosen");
  bad = good;
  bad.group_score_top = 3;
  expect_refused(bad, "group_score_top");
  bad = good;
  bad.chosen = 5;
  expect_refused(bad, "chosen");
  bad = good;
  bad.copy_experts = 1;
  expect_refused(bad, "copy");
}

}  // namespace
}  // namespace agora::moe
