#include "agora/swarm/loads_now.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <numeric>

#include "agora/base/loop.h"
#include "agora/moe/balance/selection_bias.h"
#include <gmock/gmock.h>

namespace agora::swarm {
namespace {

using base::kMillisecondNs;
using base::kSecondNs;
using testing::ElementsAre;

constexpr std::array<int64_t, 2> kNothing{0, 0};

TEST(LoadsNow, AreTheOwnOnesUntilSomebodyTells) {
  LoadsNow loads;
  EXPECT_THAT(loads.after_step(kNothing, std::array<int64_t, 2>{30, 10}, 1),
              ElementsAre(750'000'000, 250'000'000));
}

TEST(LoadsNow, AreWhatIsToldAsLongAsTheOwnOnesDoNotChange) {
  LoadsNow loads;
  const std::array<int64_t, 2> own{30, 10}, told{1, 1};
  for (int64_t step = 0; step < 10; ++step) {
    EXPECT_THAT(loads.after_step(told, own, step * kSecondNs), ElementsAre(500'000'000, 500'000'000));
  }
}

TEST(LoadsNow, FollowTheOwnOnesAtOnceAndForgetThemAsHostsDo) {
  LoadsNow loads;
  const std::array<int64_t, 2> even{1, 1}, told{1, 1}, own{3, 1};
  loads.after_step(told, even, kSecondNs);
  EXPECT_THAT(loads.after_step(told, own, kSecondNs + kMillisecondNs),
              ElementsAre(testing::Gt(740'000'000), testing::Lt(260'000'000)));
  std::span<const int64_t> last;
  for (int64_t step = 2; step < 40; ++step) last = loads.after_step(told, own, step * kSecondNs);
  EXPECT_THAT(last, ElementsAre(testing::Lt(510'000'000), testing::Gt(490'000'000)));
}

TEST(LoadsNow, AreWhatIsToldWhenNoRowWasRouted) {
  LoadsNow loads;
  EXPECT_THAT(loads.after_step(std::array<int64_t, 2>{3, 1}, kNothing, 1),
              ElementsAre(750'000'000, 250'000'000));
}

// Eight experts whose loads follow their bias, 100 steps a second; hosts tell a mean of five seconds, a
// second late. Steered by what is told alone the loads swing without end.
double worst_share_in_the_end(bool by_told_alone) {
  constexpr size_t kExperts = 8;
  constexpr float kRate = 1e-3f;
  std::array<float, kExperts> bias{};
  std::array<double, kExperts> mean{};
  std::deque<std::array<double, kExperts>> on_the_way;
  std::vector<int64_t> told(kExperts), own(kExperts);
  LoadsNow loads;
  double worst = 0;
  for (int64_t step = 0; step < 6000; ++step) {
    double sum = 0;
    std::array<double, kExperts> share{};
    for (size_t e = 0; e < kExperts; ++e) {
      sum += share[e] = std::exp(0.2 * static_cast<double>(e) + 10.0 * bias[e]);
    }
    for (size_t e = 0; e < kExperts; ++e) {
      share[e] /= sum;
      own[e] = std::llround(1e6 * share[e]);
      if (step >= 5000) worst = std::max(worst, share[e]);
    }
    if (step % 100 == 0) {  // once a second
      for (size_t e = 0; e < kExperts; ++e) mean[e] += 0.2 * (share[e] - mean[e]);
      on_the_way.push_back(mean);
      if (on_the_way.size() > 2) on_the_way.pop_front();
      for (size_t e = 0; e < kExperts; ++e) told[e] = std::llround(1e5 * on_the_way.front()[e]);
    }
    moe::move_selection_bias(by_told_alone ? told : loads.after_step(told, own, step * 10 * kMillisecondNs),
                             kRate, bias);
  }
  return worst;
}

TEST(LoadsNow, LetAFastTrainerBalance) {
  EXPECT_LT(worst_share_in_the_end(false), 1.2 / 8);
  EXPECT_GT(worst_share_in_the_end(true), 2.0 / 8);
}

}  // namespace
}  // namespace agora::swarm
