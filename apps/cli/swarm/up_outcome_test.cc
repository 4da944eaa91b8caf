#include "apps/cli/swarm/up_outcome.h"

#include <gtest/gtest.h>

namespace agora::cli {
namespace {

const Status kNoTrunk = absl::UnavailableError("no trunk");
const Status kUnfinished = absl::InternalError("every trainer has ended");

swarm::TrunkVersion trunk(uint64_t rows, uint64_t round = 1) { return {.round = round, .rows = rows}; }

TEST(UpOutcome, IsSettledByTheFirstSummary) {
  UpOutcome outcome;
  EXPECT_FALSE(outcome.is_settled());
  outcome.set_saved(trunk(3), 0);
  outcome.set_tried(absl::OkStatus());
  EXPECT_TRUE(outcome.is_settled());
  EXPECT_TRUE(outcome.is_saved(trunk(3), 0));
  EXPECT_TRUE(outcome.status().ok());
}

TEST(UpOutcome, WhatCouldNotBeSavedIsNotSavedHoweverOftenItWasTried) {
  UpOutcome outcome;
  for (int i = 0; i < UpOutcome::kTriesMax; ++i) {
    EXPECT_FALSE(outcome.is_settled());
    outcome.set_tried(kNoTrunk);
  }
  EXPECT_TRUE(outcome.is_settled());
  EXPECT_FALSE(outcome.is_saved(trunk(0), 0));
  EXPECT_EQ(outcome.status(), kNoTrunk);
  outcome.set_saved(trunk(3), 0);  // once more, at the very end
  outcome.set_tried(absl::OkStatus());
  EXPECT_TRUE(outcome.status().ok());
}

TEST(UpOutcome, WithoutATrainerNothingIsWaitedForAndNothingIsWell) {
  UpOutcome outcome;
  outcome.set_tried(kNoTrunk);
  outcome.set_unfinished(kUnfinished);
  EXPECT_TRUE(outcome.is_settled());
  EXPECT_FALSE(outcome.is_saved(trunk(0), 0));
  EXPECT_EQ(outcome.status(), kNoTrunk);
  outcome.set_tried(absl::OkStatus());
  EXPECT_EQ(outcome.status(), kUnfinished);
}

TEST(UpOutcome, WhatIsTrainedAfterSavingIsNotSaved) {
  UpOutcome outcome;
  outcome.set_saved(trunk(3), 0);
  outcome.set_tried(absl::OkStatus());
  outcome.set_unfinished(kUnfinished);
  EXPECT_TRUE(outcome.is_saved(trunk(2, 9), 0)) << "one that was cut off has done nothing new";
  EXPECT_FALSE(outcome.is_saved(trunk(4), 0)) << "a new trainer has gone on";
  outcome.set_saved(trunk(3), 0);
  EXPECT_EQ(outcome.status(), kUnfinished);
  outcome.set_saved(trunk(4), 0);
  EXPECT_TRUE(outcome.is_saved(trunk(4), 0));
  EXPECT_TRUE(outcome.status().ok());
}

TEST(UpOutcome, WhatIsRetiredAfterSavingIsToBeSavedAgain) {
  UpOutcome outcome;
  outcome.set_saved(trunk(3), 1);
  EXPECT_TRUE(outcome.is_saved(trunk(3), 0)) << "a host that told of it has gone";
  EXPECT_TRUE(outcome.is_saved(trunk(3), 1));
  EXPECT_FALSE(outcome.is_saved(trunk(3), 2));
  outcome.set_saved(trunk(3), 2);
  EXPECT_TRUE(outcome.is_saved(trunk(3), 2));
}

}  // namespace
}  // namespace agora::cli
