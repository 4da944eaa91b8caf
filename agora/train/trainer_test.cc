#include "agora/train/trainer.h"

#include "agora/kernels/table.h"
#include "agora/train/counting_text.h"
#include <gtest/gtest.h>

namespace agora::train {
namespace {

class OneTrainer : public ::testing::Test {
 protected:
  OneTrainer() {
    options_.data = text_.file();
    options_.tokenizer = "bytes";
    options_.layers = 1;
    options_.width = 8;
    options_.heads = 1;
    options_.experts = 2;
    options_.hidden = 8;
    options_.sequence = 8;
    options_.batch = 1;
    task_ = make_task(options_, nullptr, pool_).value();
    const model::ModelConfig config = task_->shape(config_of(options_).value());
    model_ = model::make_model(config, compute_, tensor::Train::yes, Rng(1)).value();
    trainer_ = std::make_unique<Trainer>(options_, compute_, *task_, model_);
  }
  // Takes steps until the trainer asks for a plan; how many.
  int64_t steps_before_plan() {
    int64_t steps = 0;
    for (; !trainer_->needs_plan(); ++steps) EXPECT_TRUE(trainer_->step().ok());
    return steps;
  }

  CountingText text_;
  TrainOptions options_;
  base::ThreadPool pool_{1};
  const kernels::Compute compute_{&kernels::best_table(kernels::cpu_features()), &pool_,
                                  kernels::Precision::f32};
  std::unique_ptr<Task> task_;
  model::LocalModel model_;
  std::unique_ptr<Trainer> trainer_;
};

TEST_F(OneTrainer, IsAskedForAPlanOnceTheRateIsKnown) { EXPECT_EQ(steps_before_plan(), kStepsBeforePlan); }

TEST_F(OneTrainer, StoppedBeforeItsFirstStepGoesOnWithTheSameBatches) {
  const TrainState stopped = trainer_->state();
  const model::Batch first = task_->next();
  trainer_->restore(stopped);
  EXPECT_EQ(task_->next().tokens, first.tokens);
}

TEST_F(OneTrainer, TheStepsOfAnEarlierProcessTellNoRate) {
  TrainState state = trainer_->state();
  state.step = kStepsBeforePlan - 1;
  trainer_->restore(state);
  EXPECT_EQ(steps_before_plan(), kStepsBeforePlan);
}

}  // namespace
}  // namespace agora::train
