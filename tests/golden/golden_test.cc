// Ten training steps whose losses are written down: in one process, for any number of threads, with a stop in
// the middle, they are the same to the last bit; from one machine to another they agree to the rounding of
// its kernels.
#include <array>

#include "agora/base/test_folder.h"
#include "agora/kernels/table.h"
#include "agora/train/counting_text.h"
#include "agora/train/run_folder.h"
#include "agora/train/trainer.h"
#include <gtest/gtest.h>

#include "tests/golden/golden_options.h"

namespace agora::train {
namespace {

class Golden : public ::testing::Test {
 protected:
  void SetUp() override {
    options_ = tests::golden_options(text_.file());
    options_.warmup = 3;
    options_.learning_rate = 4e-3f;
    options_.aux_loss = 0.01f;
    options_.z_loss = 0.001f;
    options_.precision = "f32";
  }

  struct Run {
    std::vector<double> losses;
    std::vector<float> weights;  // all of them, at the end
  };

  // Ten steps; at step `stop` (0: never) everything is saved, dropped and read back.
  Run train(int threads, kernels::Precision precision, int64_t parts, int64_t stop) {
    base::ThreadPool pool(threads);
    const kernels::Compute compute{&kernels::best_table(kernels::cpu_features()), &pool, precision};
    auto task = make_task(options_, nullptr, pool);
    EXPECT_TRUE(task.ok()) << task.status();
    const auto config = config_of(options_);
    EXPECT_TRUE(config.ok()) << config.status();
    auto model = model::make_model((*task)->shape(*config), compute, tensor::Train::yes, Rng(5), parts);
    EXPECT_TRUE(model.ok()) << model.status();
    model->tokenizer = (*task)->tokenizer();
    auto trainer = std::make_unique<Trainer>(options_, compute, **task, *model);
    Run run;
    while (!trainer->done()) {
      const auto report = trainer->step();
      EXPECT_TRUE(report.ok()) << report.status();
      run.losses.push_back(report->loss);
      if (report->step != stop) continue;
      const std::string saved = dir_.path("run");
      EXPECT_TRUE(trainer->save(saved).ok());
      const auto state = read_run_state(saved);
      EXPECT_TRUE(state.ok()) << state.status();
      model = load_run(saved, compute);
      EXPECT_TRUE(model.ok()) << model.status();
      (*task)->restart(options_);
      trainer = std::make_unique<Trainer>(options_, compute, **task, *model);
      trainer->restore(*state);
    }
    for (const tensor::ParameterView& p : model->tensors()) {
      run.weights.insert(run.weights.end(), p.value.flat().begin(), p.value.flat().end());
    }
    return run;
  }

  CountingText text_;
  const base::TestFolder dir_;
  TrainOptions options_;
};

// Written by this test on an AVX-512 machine.
constexpr std::array<double, 10> kLosses = {2.49530, 2.47041, 2.42805, 2.30035, 2.31216,
                                            2.35667, 2.28359, 2.40216, 2.31404, 2.43243};

TEST_F(Golden, TenStepsHaveTheLossesThatAreWrittenHere) {
  const Run run = train(1, kernels::Precision::f32, 1, 0);
  ASSERT_EQ(run.losses.size(), kLosses.size());
  for (size_t i = 0; i < kLosses.size(); ++i)
    EXPECT_NEAR(run.losses[i], kLosses[i], 2e-4) << "step " << i + 1;
}

TEST_F(Golden, TheNumberOfThreadsChangesNoBit) {
  for (const auto precision : {kernels::Precision::f32, kernels::Precision::bf16}) {
    const Run one = train(1, precision, 1, 0);
    for (const int threads : {2, 3}) {
      const Run more = train(threads, precision, 1, 0);
      EXPECT_EQ(one.losses, more.losses);
      EXPECT_EQ(one.weights, more.weights);
    }
  }
}

TEST_F(Golden, AStopInTheMiddleChangesNoBit) {
  const Run whole = train(2, kernels::Precision::bf16, 1, 0);
  const Run resumed = train(2, kernels::Precision::bf16, 1, 4);
  EXPECT_EQ(whole.losses, resumed.losses);
  EXPECT_EQ(whole.weights, resumed.weights);
}

// What a swarm of three hosts must reproduce: the same experts, their sums made in three parts.
TEST_F(Golden, PartsAreDeterministicAndCloseToTheWhole) {
  const Run whole = train(2, kernels::Precision::f32, 1, 0);
  const Run parts = train(2, kernels::Precision::f32, 3, 0);
  EXPECT_EQ(parts.weights, train(1, kernels::Precision::f32, 3, 0).weights);
  for (size_t i = 0; i < whole.losses.size(); ++i) EXPECT_NEAR(whole.losses[i], parts.losses[i], 1e-4);
}

}  // namespace
}  // namespace agora::train
