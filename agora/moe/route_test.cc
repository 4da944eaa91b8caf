#include "agora/moe/route.h"

#include <limits>

#include "agora/moe/combine.h"
#include "agora/moe/dispatch.h"
#include "agora/moe/split.h"
#include "agora/moe/test_support.h"
#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

namespace agora::moe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Token 0 chose experts 1 and 3, token 1 none, token 2 expert 1.
Route small_route() { return {.first = {0, 2, 2, 3}, .expert = {1, 3, 1}, .weight = {0.5f, 0.25f, 2.0f}}; }

void expect_refused(const Route& route, const std::string& why) {
  const Status status = validate(route, 3, 4);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(why));
}

TEST(Route, ValidatesWhatOthersSend) {
  EXPECT_TRUE(validate(small_route(), 3, 4).ok());
  EXPECT_TRUE(validate(Route{}, 0, 4).ok());
  EXPECT_TRUE(validate(Route{.first = {0}, .expert = {}, .weight = {}}, 0, 4).ok());
  EXPECT_FALSE(validate(small_route(), 2, 4).ok());
  Route bad = small_route();
  bad.expert[2] = 4;
  expect_refused(bad, "token 2");
  bad.expert[2] = -1;
  expect_refused(bad, "token 2");
  bad = small_route();
  bad.expert[1] = 1;
  expect_refused(bad, "ascend");
  bad = small_route();
  bad.weight[0] = std::numeric_limits<float>::infinity();
  expect_refused(bad, "not finite");
  bad = small_route();
  bad.weight.pop_back();
  expect_refused(bad, "weights");
  bad = small_route();
  bad.first = {0, 2, 1, 3};
  expect_refused(bad, "descends");
  bad.first = {1, 2, 2, 3};
  expect_refused(bad, "choices");
  bad.first = {0, 9, 9, 3};
  expect_refused(bad, "descends");
}

TEST(Route, LoadsCountOnlyExpertsBehindTheSeam) {
  EXPECT_THAT(expert_loads(small_route(), 4), ElementsAre(0, 2, 0, 1));
  EXPECT_THAT(expert_loads(small_route(), 2), ElementsAre(0, 2));
}

TEST(Dispatch, GroupsByExpertWithTokensAscending) {
  Dispatch d;
  dispatch(small_route(), 4, d);
  EXPECT_THAT(d.first, ElementsAre(0, 0, 2, 2, 3));
  EXPECT_THAT(d.token, ElementsAre(0, 2, 0));
  EXPECT_THAT(d.weight, ElementsAre(0.5f, 2.0f, 0.25f));
  EXPECT_THAT(d.entry_of_choice, ElementsAre(0, 2, 1));
}

RC_GTEST_PROP(Dispatch, IsAPermutationOfTheChoices, (uint16_t seed)) {
  Rng rng(seed);
  const int64_t experts = 1 + rng.below(9);
  const Route route =
      random_route(rng, rng.below(40), experts, rng.below(static_cast<uint32_t>(experts)) + 1);
  Dispatch d;
  dispatch(route, experts, d);
  for (int64_t t = 0; t < route.tokens(); ++t) {
    for (int32_t i = route.first[t]; i < route.first[t + 1]; ++i) {
      const int32_t entry = d.entry_of_choice[i];
      RC_ASSERT(d.token[entry] == t);
      RC_ASSERT(d.weight[entry] == route.weight[i]);
      RC_ASSERT(d.first[route.expert[i]] <= entry && entry < d.first[route.expert[i] + 1]);
    }
  }
  for (int64_t e = 0; e < experts; ++e) {
    for (int32_t i = d.first[e] + 1; i < d.first[e + 1]; ++i) RC_ASSERT(d.token[i - 1] < d.token[i]);
  }
}

TEST(Split, PartsHoldEachTokenOnceAndNobodysChoicesAreNowhere) {
  const int32_t owner[] = {0, 1, kNobody, 0};
  const std::vector<RoutePart> parts = split(small_route(), owner, 2);
  EXPECT_THAT(parts[0].token, ElementsAre(0));
  EXPECT_THAT(parts[0].route.expert, ElementsAre(3));
  EXPECT_THAT(parts[0].choice, ElementsAre(1));
  EXPECT_THAT(parts[1].token, ElementsAre(0, 2));
  EXPECT_THAT(parts[1].route.first, ElementsAre(0, 1, 2));
  EXPECT_THAT(parts[1].route.weight, ElementsAre(0.5f, 2.0f));
  EXPECT_THAT(parts[1].choice, ElementsAre(0, 2));
  EXPECT_TRUE(validate(parts[1].route, 2, 4).ok());
}

// The promise of SumOrder: one process with `parts` parts gives the bits of that many hosts and a gate that
// adds.
TEST(Combine, PartsAreWhatHostsWouldDo) {
  TestCompute machine;
  Rng rng(7);
  const int64_t experts = 8, tokens = 150, d = 20, hosts = 3;
  const Route route = random_route(rng, tokens, experts, 4);
  Dispatch whole;
  dispatch(route, experts, whole);
  const tensor::Buffer<float> entries = random_rows(rng, route.choices(), d);
  tensor::Buffer<float> y(tokens, d, tensor::Purpose::scratch);
  combine(machine.compute, route, whole, {experts, hosts}, entries.view(), y.view());

  std::vector<int32_t> owner;
  for (int64_t e = 0; e < experts; ++e) owner.push_back(static_cast<int32_t>(e * hosts / experts));
  tensor::Buffer<float> sum(tokens, d, tensor::Purpose::scratch);
  for (const RoutePart& part : split(route, owner, hosts)) {
    Dispatch of_part;
    dispatch(part.route, experts, of_part);
    tensor::Buffer<float> part_entries(part.route.choices(), d, tensor::Purpose::scratch);
    for (int64_t i = 0; i < part.route.choices(); ++i) {
      std::copy_n(entries.row(whole.entry_of_choice[part.choice[i]]), d,
                  part_entries.row(of_part.entry_of_choice[i]));
    }
    tensor::Buffer<float> partial(part.route.tokens(), d, tensor::Purpose::scratch);
    combine(machine.compute, part.route, of_part, {experts, 1}, part_entries.view(), partial.view());
    for (int64_t r = 0; r < partial.rows(); ++r) {
      for (int64_t c = 0; c < d; ++c) sum.row(part.token[r])[c] += partial.row(r)[c];
    }
  }
  EXPECT_EQ(std::vector<float>(y.flat().begin(), y.flat().end()),
            std::vector<float>(sum.flat().begin(), sum.flat().end()));
}

TEST(Combine, TokensWithoutChoicesAndEmptyBatches) {
  TestCompute machine;
  Route route{.first = {0, 0, 0}, .expert = {}, .weight = {}};
  Dispatch d;
  dispatch(route, 4, d);
  std::vector<float> y(6, 9.0f);
  combine(machine.compute, route, d, {4, 2}, View<const float>(nullptr, 0, 3), View<float>(y.data(), 2, 3));
  EXPECT_THAT(y, testing::Each(0.0f));
  combine(machine.compute, Route{}, d, {4, 1}, View<const float>(nullptr, 0, 3), View<float>(nullptr, 0, 3));
}

}  // namespace
}  // namespace agora::moe
