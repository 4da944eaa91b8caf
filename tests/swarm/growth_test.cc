// Experts that are added, retired and undone while a swarm trains and answers.
#include <algorithm>
#include <deque>
#include <map>
#include <numeric>

#include "agora/base/test_folder.h"
#include "agora/kernels/cpu_features.h"
#include "agora/kernels/table.h"
#include "agora/train/counting_text.h"
#include "agora/train/run_folder.h"
#include <gmock/gmock.h>

#include "tests/small_options.h"
#include "tests/swarm/growing_swarm.h"

namespace agora::tests {
namespace {

using swarm::AddExpert;
using swarm::ExpertName;

class SwarmGrowth : public testing::Test {
 protected:
  void SetUp() override {
    options_.tokenizer = "bytes";
    options_.experts = 4;
    options_.steps = 100000;
    options_.schedule = "constant";
    options_.bias_rate = 1e-2f;
    options_.average_every = 5;
  }

  // Until it is so, or for 1,500 steps and half a minute: some things come with steps, some with time.
  template <class IsSo>
  bool train_until(GrowingSwarm& swarm, IsSo is_so) {
    const int64_t late_ns = swarm.loop().now_ns() + 30 * base::kSecondNs;
    for (int i = 0; i < 300 || swarm.loop().now_ns() < late_ns; ++i) {
      if (is_so()) return true;
      swarm.train(5);
    }
    return is_so();
  }

  // Without a step.
  template <class IsSo>
  bool comes_true(GrowingSwarm& swarm, IsSo is_so) {
    const int64_t late_ns = swarm.loop().now_ns() + 30 * base::kSecondNs;
    while (swarm.loop().now_ns() < late_ns) {
      if (is_so()) return true;
    }
    return is_so();
  }

  const base::TestFolder dir_;
  train::CountingText text_;
  train::TrainOptions options_ = small_options(text_.file());
};

double share(const std::vector<int64_t>& loads, ExpertId expert) {
  const auto all = std::reduce(loads.begin(), loads.end());
  return static_cast<double>(loads[static_cast<size_t>(expert.value)]) / static_cast<double>(all);
}

double mean(const std::deque<double>& values) {
  return std::reduce(values.begin(), values.end()) / static_cast<double>(values.size());
}

TEST_F(SwarmGrowth, AddedExpertsTakeTheirShareAndNoAnswerFails) {
  GrowingSwarm swarm(options_, {});
  swarm.train(60);
  const double before = swarm.validate();
  Asker asker(swarm);

  const auto warm = swarm.add({.from = AddExpert::From::most_loaded});
  ASSERT_TRUE(warm.ok()) << warm.status();
  const auto cold = swarm.add({});
  ASSERT_TRUE(cold.ok()) << cold.status();
  std::vector<ExpertName> added = *warm;
  added.insert(added.end(), cold->begin(), cold->end());
  ASSERT_EQ(added.size(), 4u);
  EXPECT_LT(swarm.entry_bias(added[0]), 0);
  EXPECT_TRUE(train_until(swarm, [&] {
    return std::ranges::all_of(added, [&](ExpertName e) { return swarm.entry_bias(e) == 0; });
  })) << "the ramp ends";
  std::map<ExpertName, double> shares;  // summed, for balance moves whole batches to and fro
  double looks = 0;
  EXPECT_TRUE(train_until(swarm, [&] {
    ++looks;
    for (const ExpertName e : added) shares[e] += share(swarm.loads(e.layer), e.expert);
    return std::ranges::all_of(shares, [&](const auto& entry) { return entry.second / looks > 0.5 / 6; });
  })) << "half of an even share";
  EXPECT_LT(swarm.validate(), before);
  const int64_t asked = asker.asked();
  EXPECT_TRUE(train_until(swarm, [&] { return asker.asked() > asked + 2; }));
  const Asker::Tally tally = asker.stop();
  EXPECT_EQ(tally.failed, 0) << tally.why;
  EXPECT_EQ(tally.lost, 0u);
}

// At the end of its training, where the gates no longer learn their way round the harm at once.
TEST_F(SwarmGrowth, AHarmfulExpertIsUndone) {
  options_.schedule = "cosine";
  options_.steps = 150;
  options_.learning_rate_end = 0.01f;
  GrowingSwarm swarm(options_, {});
  swarm.train(options_.steps);
  const double before = swarm.validate();
  const auto added = swarm.add({.layer = 1, .from = AddExpert::From::most_loaded});  // it is asked at once
  ASSERT_TRUE(added.ok()) << added.status();
  const ExpertName bad = added->front();
  ASSERT_TRUE(train_until(swarm, [&] { return swarm.held(bad) == 2; }));
  std::deque<double> last{before, swarm.validate()};  // as growth.h holds a newcomer against them
  double without = mean(last), worst = 0;
  EXPECT_TRUE(train_until(swarm, [&] {
    swarm.poison(bad);
    const bool closed = swarm.entry_bias(bad) == moe::kClosed;
    const bool asked = !closed && swarm.loads(bad.layer)[static_cast<size_t>(bad.expert.value)] > 0;
    const double loss = swarm.validate();  // where trainers judge newcomers
    if (closed && worst > 0) return swarm.census().retired.contains(bad);
    last.push_back(loss);
    if (last.size() > swarm::GrowthConfig().averaged) last.pop_front();
    if (asked) {
      worst = std::max(worst, loss);
    } else {
      without = mean(last);
    }
    return false;
  }));
  EXPECT_GT(worst, without * 1.01);
  EXPECT_EQ(swarm.entry_bias(bad), moe::kClosed);
  EXPECT_TRUE(train_until(swarm, [&] { return swarm.validate() < before * 1.05; })) << "the model recovers";
  EXPECT_TRUE(train_until(swarm, [&] { return swarm.held(bad) == 0; }));
}

TEST_F(SwarmGrowth, RetiringUnderLoadFailsNoAnswer) {
  GrowingSwarm swarm(options_, {});
  swarm.train(60);
  const double before = swarm.validate();
  Asker asker(swarm);
  const ExpertName gone{LayerId{0}, ExpertId{2}};
  ASSERT_TRUE(train_until(swarm, [&] { return asker.asked() > 2 && swarm.held(gone) == 2; }));
  ASSERT_TRUE(swarm.retire(gone).ok());
  EXPECT_TRUE(train_until(swarm, [&] { return swarm.entry_bias(gone) == moe::kClosed; }));
  EXPECT_TRUE(train_until(swarm, [&] { return swarm.held(gone) == 0; }));
  const train::SwarmStepReport report = swarm.train(20);
  EXPECT_EQ(report.choices, report.choices_arrived);
  EXPECT_EQ(swarm.loads(gone.layer)[2], 0);
  EXPECT_LT(swarm.validate(), before * 1.02);
  const int64_t asked = asker.asked();
  EXPECT_TRUE(train_until(swarm, [&] { return asker.asked() > asked + 2; }));
  const Asker::Tally tally = asker.stop();
  EXPECT_EQ(tally.failed, 0) << tally.why;
  EXPECT_EQ(tally.lost, 0u);
}

// One layer has lost an expert, the other has got one: the folder is as wide as the wider.
TEST_F(SwarmGrowth, WhatGrewIsSavedAsAModelAndGoesOn) {
  const std::string folder = dir_.path("saved");
  double loss = 0;
  {
    GrowingSwarm swarm(options_, {});
    swarm.train(40);
    const auto added = swarm.add({.layer = 1, .from = AddExpert::From::nearest});
    ASSERT_TRUE(added.ok()) << added.status();
    ASSERT_TRUE(swarm.retire({LayerId{0}, ExpertId{1}}).ok());
    ASSERT_TRUE(train_until(swarm, [&] { return swarm.entry_bias(added->front()) == 0; }));
    ASSERT_TRUE(train_until(swarm, [&] { return swarm.held({LayerId{0}, ExpertId{1}}) == 0; }));
    const Status saved = swarm.trainer().save(folder);
    ASSERT_TRUE(saved.ok()) << saved;

    base::ThreadPool pool(1);
    const kernels::Compute compute{&kernels::best_table(kernels::cpu_features()), &pool,
                                   kernels::Precision::f32};
    const auto model = train::load_run(folder, compute);
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ(model->config().gate.experts, 5);
    EXPECT_TRUE(model->config().gate.entry_bias);
    const auto alone = train::evaluate(*model->model, {.compute = compute}, swarm.task(), 0);
    ASSERT_TRUE(alone.ok()) << alone.status();
    loss = alone->total.loss();
    // Its followers answer too, and may be behind what was saved; hosts may step once more.
    EXPECT_TRUE(comes_true(swarm, [&] { return std::abs(swarm.validate() - loss) < 5e-3; }));
  }
  GrowingSwarm again(options_, {.folder = folder});
  EXPECT_NEAR(again.validate(), loss, 5e-3);
  EXPECT_EQ(again.entry_bias({LayerId{0}, ExpertId{1}}), moe::kClosed);
  EXPECT_EQ(again.entry_bias({LayerId{1}, ExpertId{4}}), 0.0f);
  const train::SwarmStepReport report = again.train(5);
  EXPECT_EQ(report.choices, report.choices_arrived);
  const auto next = again.add({.layer = 0});
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ(next->front().expert, ExpertId{4});
}

// The trunk that trainers hand out has it open for ever, and its hosts have let it go.
TEST_F(SwarmGrowth, WhatIsRetiredAfterTheLastStepIsSavedAsRetired) {
  const std::string folder = dir_.path("saved");
  const ExpertName gone{LayerId{0}, ExpertId{1}};
  {
    GrowingSwarm swarm(options_, {});
    swarm.train(10);
    ASSERT_TRUE(swarm.retire(gone).ok());
    ASSERT_TRUE(comes_true(swarm, [&] { return swarm.held(gone) == 0; }));
    ASSERT_EQ(swarm.entry_bias(gone), 0.0f);
    const Status saved = swarm.trainer().save(folder);
    ASSERT_TRUE(saved.ok()) << saved;
  }
  const auto manifest = swarm::read_manifest(folder);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_THAT(manifest->retired, testing::ElementsAre(gone));
  EXPECT_EQ(std::ranges::count(manifest->experts, gone, &swarm::ManifestExpert::name), 0);
  GrowingSwarm again(options_, {.folder = folder});
  EXPECT_EQ(again.entry_bias(gone), moe::kClosed);
  EXPECT_EQ(again.held(gone), 0);
}

}  // namespace
}  // namespace agora::tests
