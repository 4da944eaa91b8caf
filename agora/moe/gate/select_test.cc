#include "agora/moe/gate/select.h"

#include <algorithm>
#include <numeric>

#include "agora/moe/test_support.h"
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace agora::moe {
namespace {

using tensor::View;

std::vector<int32_t> best(const std::vector<float>& keys, int64_t k) {
  std::vector<int32_t> chosen(static_cast<size_t>(k));
  top_k(keys, chosen);
  return chosen;
}

TEST(TopK, LowerNumberWinsTies) {
  EXPECT_EQ(best({1, 1, 1, 1}, 2), (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(best({0, 2, 1, 2, 2}, 2), (std::vector<int32_t>{1, 3}));
  EXPECT_EQ(best({-3, -1, -2}, 1), (std::vector<int32_t>{1}));
  EXPECT_EQ(best({5, 6}, 2), (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(best({5}, 0), (std::vector<int32_t>{}));
}

RC_GTEST_PROP(TopK, IsTheHeadOfAStableSort, (std::vector<uint8_t> values)) {
  RC_PRE(!values.empty());
  const std::vector<float> keys(values.begin(), values.end());
  const auto k = *rc::gen::inRange<size_t>(1, keys.size() + 1);
  std::vector<int32_t> order(keys.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return keys[a] > keys[b]; });
  order.resize(k);
  std::sort(order.begin(), order.end());
  RC_ASSERT(best(keys, static_cast<int64_t>(k)) == order);
}

TEST(GroupedTopK, GroupsFirstThenExperts) {
  const GateDescriptor sum_of_two{.selection = Selection::grouped_top_k,
                                  .experts = 6,
                                  .chosen = 2,
                                  .groups = 2,
                                  .groups_chosen = 1,
                                  .group_score_top = 2};
  // Best two of each group: 9 + 0 < 5 + 5. With the best alone it is 9 > 5.
  const std::vector<float> keys = {9, 0, 0, 5, 5, 4};
  std::vector<int32_t> chosen(2);
  grouped_top_k(sum_of_two, keys, chosen);
  EXPECT_EQ(chosen, (std::vector<int32_t>{3, 4}));
  GateDescriptor best_alone = sum_of_two;
  best_alone.group_score_top = 1;
  grouped_top_k(best_alone, keys, chosen);
  EXPECT_EQ(chosen, (std::vector<int32_t>{0, 1}));
}

TEST(GroupedTopK, NegativeKeysNeverLoseToOtherGroups) {
  const GateDescriptor gate{
      .selection = Selection::grouped_top_k, .experts = 4, .chosen = 2, .groups = 2, .groups_chosen = 1};
  std::vector<int32_t> chosen(2);
  grouped_top_k(gate, std::vector<float>{-9, -9, -1, -2}, chosen);
  EXPECT_EQ(chosen, (std::vector<int32_t>{2, 3}));
}

TEST(ExpertChoice, EachExpertTakesItsBestTokens) {
  // Expert 0 likes tokens 2 and 0, expert 1 likes 2 and (a tie of 0 and 1) 0. Token 1 gets none.
  const std::vector<float> keys = {3, 1, 0, 1, 5, 7};
  Route route;
  expert_choice(View<const float>(keys.data(), 3, 2), 2, route);
  EXPECT_EQ(route.first, (std::vector<int32_t>{0, 2, 2, 4}));
  EXPECT_EQ(route.expert, (std::vector<int32_t>{0, 1, 0, 1}));
}

TEST(ExpertChoice, Capacity) {
  const GateDescriptor gate{.selection = Selection::expert_choice, .experts = 4, .chosen = 2};
  EXPECT_EQ(expert_choice_tokens(gate, 8), 4);
  EXPECT_EQ(expert_choice_tokens(gate, 1), 1);
  EXPECT_EQ(expert_choice_tokens(gate, 0), 0);
  Route route;
  expert_choice(View<const float>(nullptr, 0, 4), 0, route);
  EXPECT_EQ(route.tokens(), 0);
}

}  // namespace
}  // namespace agora::moe
