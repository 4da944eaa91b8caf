// Ten training steps over four hosts are, to the last bit, ten steps in one process that makes its sums in
// four parts: losses, trunk and every expert's weights. Rows travel as f32: in bf16, sums and gradients are
// rounded on their way, which one process never does.

#include "agora/kernels/table.h"
#include "agora/model/model_folder.h"
#include "agora/train/counting_text.h"
#include "agora/train/stepper.h"
#include "agora/train/task.h"
#include <gtest/gtest.h>

#include "tests/golden/golden_options.h"
#include "tests/swarm/grpc_peer.h"
#include "tests/swarm/hosts_in_process.h"

namespace agora::tests {
namespace {

constexpr uint64_t kSeed = 5;
constexpr int64_t kHosts = 4;

struct Trained {
  std::vector<double> losses;
  std::vector<float> trunk;
  std::vector<float> experts;
};

void append_values(const std::vector<tensor::ParameterView>& parameters, std::vector<float>& to) {
  for (const tensor::ParameterView& p : parameters)
    to.insert(to.end(), p.value.flat().begin(), p.value.flat().end());
}

class SwarmGolden : public testing::Test {
 protected:
  // A model whose trunk is made here; `ask` gives the experts, its own ones being the default.
  Trained train(kernels::Precision precision, const std::function<moe::Experts*(model::LocalModel&)>& ask) {
    const kernels::Compute compute{&kernels::best_table(kernels::cpu_features()), &pool_, precision};
    auto task = train::make_task(options_, nullptr, pool_);
    EXPECT_TRUE(task.ok()) << task.status();
    auto model = model::make_model((*task)->shape(*train::config_of(options_)), compute, tensor::Train::yes,
                                   Rng(kSeed), kHosts);
    EXPECT_TRUE(model.ok()) << model.status();
    moe::Experts* experts = ask(*model);
    model->model->use_experts(*experts);
    train::Stepper stepper(options_, compute, *model->model, *experts);
    Trained run;
    for (int64_t step = 1; step <= options_.steps; ++step) {
      const auto report =
          stepper.step((*task)->next(), {.step = step, .optimizer = step, .learning_rate = 4e-3f});
      EXPECT_TRUE(report.ok()) << report.status();
      if (!report.ok()) return run;
      EXPECT_EQ(report->choices_arrived, report->choices);
      run.losses.push_back(report->loss);
      stepper.balance_by_own_loads();
    }
    append_values(tensor::views_of(model->model->parameters()), run.trunk);
    return run;
  }

  Trained train_here(kernels::Precision precision) {
    std::vector<float> experts;
    Trained run = train(precision, [&](model::LocalModel& model) {
      local_ = std::move(model.experts);
      return local_.get();
    });
    append_values(local_->parameters(), run.experts);
    return run;
  }

  Trained train_over_hosts(kernels::Precision precision, const MakeTransport& transport) {
    std::unique_ptr<HostsInProcess> hosts;
    Trained run = train(precision, [&](model::LocalModel& model) {
      swarm::SwarmSpec spec;
      spec.name = "golden";
      spec.layers = options_.layers;
      spec.experts = spec.experts_max = options_.experts;
      spec.shape = model::expert_shape(model.config());
      spec.bf16 = precision == kernels::Precision::bf16;
      spec.updates = swarm::UpdateMode::synchronous;
      hosts = std::make_unique<HostsInProcess>(spec, HostsConfig{.held = contiguous(options_.experts, kHosts),
                                                                 .transport = transport,
                                                                 .weights = Rng(kSeed),
                                                                 .host = {}});
      return &hosts->gate({.rows = swarm::RowDtype::f32});
    });
    for (int32_t l = 0; l < options_.layers; ++l) {
      for (int32_t e = 0; e < options_.experts; ++e) {
        moe::LocalExperts& held = hosts->store(e * kHosts / options_.experts).experts();
        append_values(held.expert(LayerId(l), ExpertId(e)).parameters(), run.experts);
      }
    }
    return run;
  }

  void expect_same(const MakeTransport& transport) {
    for (const auto precision : {kernels::Precision::f32, kernels::Precision::bf16}) {
      const Trained here = train_here(precision);
      const Trained there = train_over_hosts(precision, transport);
      EXPECT_EQ(here.losses, there.losses);
      EXPECT_EQ(here.trunk, there.trunk);
      EXPECT_EQ(here.experts, there.experts);
      EXPECT_LT(here.losses.back(), here.losses.front());
    }
  }

  base::ThreadPool pool_{2};
  train::CountingText text_;
  train::TrainOptions options_ = golden_options(text_.file());
  std::unique_ptr<moe::LocalExperts> local_;
};

TEST_F(SwarmGolden, TenStepsOverFourHostsAreThoseOfOneProcess) { expect_same({}); }

TEST_F(SwarmGolden, SoAreTheyInMicroBatches) {
  options_.micro_batches = 2;
  expect_same({});
}

TEST_F(SwarmGolden, SoAreTheyOverGrpc) { expect_same(start_grpc_peer); }

}  // namespace
}  // namespace agora::tests
