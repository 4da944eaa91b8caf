#include "agora/train/evaluate.h"

#include <algorithm>

#include "agora/kernels/cpu_features.h"
#include "agora/kernels/table.h"
#include "agora/model/model_folder.h"
#include "agora/train/counting_text.h"
#include <gtest/gtest.h>

namespace agora::train {
namespace {

class Evaluating : public testing::Test {
 protected:
  Evaluating() {
    TrainOptions options;
    const CountingText text;
    options.data = text.file();
    options.tokenizer = "bytes";
    options.layers = 1;
    options.width = 16;
    options.heads = 2;
    options.experts = 4;
    options.hidden = 16;
    options.sequence = 32;
    task_ = make_task(options, nullptr, pool_).value();
    const model::ModelConfig config = task_->shape(config_of(options).value());
    model_ = model::make_model(config, compute_, tensor::Train::no, Rng(1)).value();
  }
  StatusOr<Evaluation> run(int64_t rows_max, const EvaluationWatch& watch) {
    return evaluate(*model_.model, {.compute = compute_}, *task_, rows_max, watch);
  }

  base::ThreadPool pool_{1};
  const kernels::Compute compute_{&kernels::best_table(kernels::cpu_features()), &pool_,
                                  kernels::Precision::f32};
  std::unique_ptr<Task> task_;
  model::LocalModel model_;
};

TEST_F(Evaluating, TellsHowFarItIs) {
  for (const int64_t rows_max : {0, 500}) {
    std::vector<double> told;
    const auto evaluation = run(rows_max, [&](double done) {
      told.push_back(done);
      return true;
    });
    ASSERT_TRUE(evaluation.ok()) << evaluation.status();
    ASSERT_FALSE(told.empty());
    EXPECT_TRUE(std::ranges::is_sorted(told));
    EXPECT_GT(told.front(), 0);
    EXPECT_GT(told.back(), 0.9);
    EXPECT_LE(told.back(), 1);
    EXPECT_EQ(evaluation->total.loss(), run(rows_max, {})->total.loss());
  }
}

TEST_F(Evaluating, IsCutShort) {
  int batches = 0;
  const auto evaluation = run(0, [&](double) { return ++batches < 2; });
  EXPECT_TRUE(absl::IsCancelled(evaluation.status())) << evaluation.status();
  EXPECT_EQ(batches, 2);
}

}  // namespace
}  // namespace agora::train
