#include "agora/model/model.h"

#include <algorithm>
#include <cmath>
#include <thread>

#include "agora/base/baton.h"
#include "agora/base/virtual_loop.h"
#include "agora/kernels/table.h"
#include "agora/model/model_folder.h"
#include <gtest/gtest.h>

namespace agora::model {
namespace {

using kernels::Precision;

ModelConfig small_config() {
  ModelConfig config;
  config.vocab_size = 23;
  config.hidden_size = 12;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 3;
  config.num_key_value_heads = 1;
  config.head_dim = 4;
  config.max_position_embeddings = 40;
  config.moe_intermediate_size = 10;
  config.initializer_range = 0.3f;  // large enough for gradients to stand out
  config.gate = {.experts = 4, .chosen = 2, .renormalise = true, .selection_bias = true};
  config.router_aux_loss_coef = 0.01f;
  config.router_z_loss_coef = 0.01f;
  return config;
}

ModelConfig image_config() {
  ModelConfig config = small_config();
  config.frontend = FrontendKind::patches;
  config.head = HeadKind::classes;
  config.causal = false;
  config.patches = {.height = 4, .width = 6, .patch = 2};
  config.vocab_size = 5;
  config.max_position_embeddings = config.patches.rows();
  return config;
}

Batch text_batch(const ModelConfig& config, int64_t sequences, int64_t length, uint64_t seed) {
  Rng rng(seed);
  Batch batch{.batch = sequences, .length = length};
  for (int64_t t = 0; t < batch.rows(); ++t) {
    batch.tokens.push_back(static_cast<int32_t>(rng.below(static_cast<uint32_t>(config.vocab_size))));
    batch.targets.push_back(static_cast<int32_t>(rng.below(static_cast<uint32_t>(config.vocab_size))));
  }
  batch.domains.assign(static_cast<size_t>(sequences), 0);
  return batch;
}

Batch image_batch(const ModelConfig& config, int64_t images, uint64_t seed) {
  Rng rng(seed);
  Batch batch{.batch = images, .length = config.patches.rows()};
  for (int64_t i = 0; i < batch.rows() * config.patches.pixels(); ++i) batch.patches.push_back(rng.normal());
  for (int64_t b = 0; b < images; ++b) {
    batch.targets.push_back(static_cast<int32_t>(rng.below(static_cast<uint32_t>(config.vocab_size))));
  }
  batch.domains.assign(static_cast<size_t>(images), 0);
  return batch;
}

class ModelTest : public ::testing::Test {
 protected:
  kernels::Compute compute(Precision precision) {
    return {&kernels::best_table(kernels::cpu_features()), &pool_, precision};
  }

  LocalModel make(const ModelConfig& config, Precision precision) {
    auto model = make_model(config, compute(precision), tensor::Train::yes, Rng(7));
    EXPECT_TRUE(model.ok()) << model.status();
    return *std::move(model);
  }

  // The loss that learn() makes gradients of, the gates' own losses included.
  double whole_loss(LocalModel& m, const Batch& batch, float scale) {
    Tape tape;
    Pass pass{.compute = compute(Precision::f32)};
    pass.call.mode = moe::GateMode::train;
    const auto loss = m.model->learn(pass, batch, scale, tape);
    EXPECT_TRUE(loss.ok()) << loss.status();
    double sum = loss->sum * scale;
    for (const moe::MoeStats& stats : tape.stats) sum += double{stats.aux_loss} + double{stats.z_loss};
    return sum;
  }

  void expect_gradients(const ModelConfig& config, const Batch& batch) {
    LocalModel m = make(config, Precision::f32);
    const float scale = 1.0f / static_cast<float>(batch.targets.size());
    for (const tensor::ParameterView& p : m.parameters()) std::ranges::fill(p.gradient.flat(), 0.0f);
    whole_loss(m, batch, scale);
    std::vector<std::vector<float>> gradients;
    for (const tensor::ParameterView& p : m.parameters()) {
      gradients.emplace_back(p.gradient.flat().begin(), p.gradient.flat().end());
    }
    size_t index = 0;
    for (const tensor::ParameterView& p : m.parameters()) {
      Rng rng = Rng(11).fork(p.name);
      for (int probe = 0; probe < 3; ++probe) {
        const auto at = rng.below(static_cast<uint32_t>(p.value.size()));
        const double expected = difference(m, p, at, batch, scale);
        EXPECT_NEAR(gradients[index][at], expected, 3e-3 * std::max(0.1, std::abs(expected)))
            << p.name << " [" << at << "]";
      }
      ++index;
    }
  }

  double difference(LocalModel& m, const tensor::ParameterView& p, uint32_t at, const Batch& batch,
                    float scale) {
    constexpr float kStep = 3e-3f;
    float& value = p.value.flat()[at];
    const float before = value;
    const auto loss_at = [&](float moved) {
      value = moved;
      m.repack(compute(Precision::f32));
      return whole_loss(m, batch, scale);
    };
    const double up = loss_at(before + kStep);
    const double down = loss_at(before - kStep);
    value = before;
    m.repack(compute(Precision::f32));
    return (up - down) / (2.0 * kStep);
  }

  base::ThreadPool pool_{2};
};

TEST_F(ModelTest, GradientsOfATextModelAreDifferences) {
  const ModelConfig config = small_config();
  expect_gradients(config, text_batch(config, 2, 9, 3));
}

TEST_F(ModelTest, GradientsOfATiedModelAreDifferences) {
  ModelConfig config = small_config();
  config.tie_word_embeddings = true;
  expect_gradients(config, text_batch(config, 2, 9, 4));
}

TEST_F(ModelTest, GradientsOfAnImageModelAreDifferences) {
  const ModelConfig config = image_config();
  expect_gradients(config, image_batch(config, 3, 5));
}

// What makes an answer independent of who else is asked: tokens read one by one, in pieces or at once.
TEST_F(ModelTest, CachedRowsAreBitwiseThoseOfAWholePass) {
  const ModelConfig config = small_config();
  for (const Precision precision : {Precision::f32, Precision::bf16}) {
    LocalModel m = make(config, precision);
    const Pass pass{.compute = compute(precision)};
    const Batch batch = text_batch(config, 1, 33, 8);
    const auto read = [&](std::vector<int64_t> pieces) {
      SequenceCache cache(config, 40);
      std::vector<float> logits(static_cast<size_t>(config.vocab_size));
      int64_t begin = 0;
      for (const int64_t piece : pieces) {
        const SequenceStep step{
            std::span(batch.tokens).subspan(static_cast<size_t>(begin), static_cast<size_t>(piece)), &cache,
            logits};
        EXPECT_TRUE(m.model->extend(pass, {&step, 1}).ok());
        begin += piece;
      }
      return logits;
    };
    const std::vector<float> whole = read({33});
    EXPECT_EQ(whole, read(std::vector<int64_t>(33, 1)));
    EXPECT_EQ(whole, read({7, 1, 20, 5}));
  }
}

// Sequences of different lengths, in pieces of different lengths, joining at different steps.
TEST_F(ModelTest, ManySequencesReadTogetherAreBitwiseThoseReadAlone) {
  const ModelConfig config = small_config();
  constexpr size_t kSequences = 5;
  for (const Precision precision : {Precision::f32, Precision::bf16}) {
    LocalModel m = make(config, precision);
    const Pass pass{.compute = compute(precision)};
    const Batch batch = text_batch(config, kSequences, 30, 8);
    Rng rng(3);
    std::vector<SequenceCache> caches;
    for (size_t s = 0; s < kSequences; ++s) caches.emplace_back(config, 40);
    for (size_t step = 0; step < 12; ++step) {
      std::vector<SequenceStep> steps;
      std::vector<std::span<const int32_t>> read;
      std::vector<std::vector<float>> logits(kSequences, std::vector<float>(23));
      for (size_t s = 0; s < std::min(step + 1, kSequences); ++s) {
        const auto filled = static_cast<size_t>(caches[s].filled);
        const size_t count = std::min<size_t>(30 - filled, rng.below(6));
        if (count == 0) continue;
        const std::span<const int32_t> whole = std::span(batch.tokens).subspan(s * 30, 30);
        read.push_back(whole.first(filled + count));
        const bool wanted = rng.below(3) > 0;
        steps.push_back({whole.subspan(filled, count), &caches[s],
                         wanted ? std::span<float>(logits[s]) : std::span<float>()});
      }
      if (steps.empty()) continue;
      ASSERT_TRUE(m.model->extend(pass, steps).ok());
      for (size_t i = 0; i < steps.size(); ++i) {
        if (steps[i].logits.empty()) continue;
        SequenceCache alone(config, 40);
        std::vector<float> expected(23);
        const SequenceStep all{read[i], &alone, expected};
        ASSERT_TRUE(m.model->extend(pass, {&all, 1}).ok());
        EXPECT_TRUE(std::ranges::equal(expected, steps[i].logits));
      }
    }
  }
}

TEST_F(ModelTest, ASequenceScoresTheSameInAnyCompany) {
  const ModelConfig config = small_config();
  LocalModel m = make(config, Precision::bf16);
  const Pass pass{.compute = compute(Precision::bf16)};
  const Batch many = text_batch(config, 5, 21, 12);
  std::vector<float> together(static_cast<size_t>(many.rows()));
  ASSERT_TRUE(m.model->evaluate(pass, many, together, {}).ok());
  for (int64_t b = 0; b < many.batch; ++b) {
    Batch one{.batch = 1, .length = many.length};
    const auto begin = static_cast<size_t>(b * many.length);
    const auto end = begin + static_cast<size_t>(many.length);
    one.tokens.assign(many.tokens.begin() + begin, many.tokens.begin() + end);
    one.targets.assign(many.targets.begin() + begin, many.targets.begin() + end);
    std::vector<float> alone(static_cast<size_t>(many.length));
    ASSERT_TRUE(m.model->evaluate(pass, one, alone, {}).ok());
    EXPECT_EQ(alone, std::vector<float>(together.begin() + begin, together.begin() + end));
  }
}

TEST_F(ModelTest, RefusesTokensAndLengthsThatDoNotFit) {
  const ModelConfig config = small_config();
  LocalModel m = make(config, Precision::f32);
  const Pass pass{.compute = compute(Precision::f32)};
  Batch batch = text_batch(config, 1, 4, 1);
  batch.tokens[2] = 23;
  EXPECT_EQ(m.model->evaluate(pass, batch, {}, {}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(m.model->evaluate(pass, text_batch(config, 1, 41, 1), {}, {}).status().code(),
            absl::StatusCode::kOutOfRange);
  SequenceCache cache(config, 3);
  std::vector<float> logits(23);
  const std::vector<int32_t> tokens{1, 2, 3, 4};
  const SequenceStep step{tokens, &cache, logits};
  EXPECT_EQ(m.model->extend(pass, {&step, 1}).code(), absl::StatusCode::kOutOfRange);
}

TEST_F(ModelTest, CountsItsParameters) {
  for (const ModelConfig& config : {small_config(), image_config()}) {
    LocalModel m = make(config, Precision::f32);
    int64_t count = 0;
    for (const tensor::ParameterView& p : m.parameters()) count += p.value.size();
    EXPECT_EQ(count, config.parameters());
  }
}

// Gives the baton away in every call, as experts on other machines do, so that passes interleave layer by
// layer.
class AwayExperts final : public moe::Experts {
 public:
  AwayExperts(moe::Experts& inner, base::Baton& baton) : inner_(inner), baton_(baton) {}

  StatusOr<moe::MixResult> mix(LayerId layer, View<const float> x, const moe::Route& route, moe::Keep keep,
                               moe::Deadline deadline, View<float> y) override {
    auto result = inner_.mix(layer, x, route, keep, deadline, y);
    const base::BatonRest rest(&baton_);
    return result;
  }
  Status mix_backward(moe::Ticket ticket, View<const float> dy, moe::Deadline deadline, View<float> dx,
                      std::span<float> dweights) override {
    const Status status = inner_.mix_backward(ticket, dy, deadline, dx, dweights);
    const base::BatonRest rest(&baton_);
    return status;
  }
  void release(moe::Ticket ticket) override { inner_.release(ticket); }
  Status end_step(const moe::StepSettings& settings) override { return inner_.end_step(settings); }
  void drop_gradients() override { inner_.drop_gradients(); }

 private:
  moe::Experts& inner_;
  base::Baton& baton_;
};

class NoiseSeen final : public RouteObserver {
 public:
  void observe(LayerId, const moe::MoeSaved& saved) override {
    const View<const float> drawn = saved.gate.noise_drawn.view();
    of_layer.emplace_back(drawn.data, drawn.data + drawn.size());
  }
  std::vector<std::vector<float>> of_layer;
};

TEST_F(ModelTest, EveryLayersGateDrawsNoiseOfItsOwn) {
  ModelConfig config = small_config();
  config.gate.noise = 1;
  LocalModel m = make(config, Precision::f32);
  const auto noise_of = [&](uint64_t seed) {
    NoiseSeen seen;
    Pass pass{.compute = compute(Precision::f32), .observer = &seen};
    pass.call.mode = moe::GateMode::train;
    pass.call.rng = Rng(seed);
    Tape tape;
    EXPECT_TRUE(m.model->learn(pass, text_batch(config, 1, 4, 1), 1, tape).ok());
    return seen.of_layer;
  };
  const auto drawn = noise_of(7);
  ASSERT_EQ(drawn.size(), 2u);
  EXPECT_NE(drawn[0], drawn[1]);
  EXPECT_EQ(drawn, noise_of(7));
  EXPECT_NE(drawn, noise_of(8));
}

TEST_F(ModelTest, AModelIsAsDeepAsItIsAskedToBe) {
  ModelConfig config = small_config();
  config.num_hidden_layers = 300;
  LocalModel m = make(config, Precision::f32);
  EXPECT_GT(whole_loss(m, text_batch(config, 1, 2, 1), 0.5f), 0);
}

TEST_F(ModelTest, PassesThatInterleaveDoNotTouchEachOther) {
  const ModelConfig config = small_config();
  const std::vector<Batch> batches{text_batch(config, 2, 9, 1), text_batch(config, 1, 13, 2)};
  std::vector<double> alone;
  LocalModel one_by_one = make(config, Precision::f32);
  for (const Batch& batch : batches) {
    Tape tape;
    auto loss = one_by_one.model->learn({.compute = compute(Precision::f32)}, batch, 0.1f, tape);
    ASSERT_TRUE(loss.ok()) << loss.status();
    alone.push_back(loss->sum);
  }

  LocalModel together = make(config, Precision::f32);
  base::VirtualLoop loop;  // for its threads only
  base::Baton baton(loop);
  AwayExperts away(*together.experts, baton);
  together.model->use_experts(away);
  std::vector<double> interleaved(batches.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < batches.size(); ++i) {
    threads.emplace_back([&, i] {
      const base::BatonTurn turn(baton);
      Tape tape;
      auto loss = together.model->learn({.compute = compute(Precision::f32)}, batches[i], 0.1f, tape);
      ASSERT_TRUE(loss.ok()) << loss.status();
      interleaved[i] = loss->sum;
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(interleaved, alone);  // forward passes: bit for bit
  const auto expected = one_by_one.parameters(), found = together.parameters();
  for (size_t p = 0; p < expected.size(); ++p) {  // gradients: the order of two summands may differ
    const auto want = expected[p].gradient.flat(), got = found[p].gradient.flat();
    for (size_t i = 0; i < want.size(); ++i) {
      ASSERT_NEAR(got[i], want[i], 1e-5f + 1e-4f * std::abs(want[i])) << expected[p].name << " " << i;
    }
  }
}

TEST_F(ModelTest, AnErrorLeavesNoTicketOpen) {
  ModelConfig config = small_config();
  LocalModel m = make(config, Precision::f32);
  Batch batch = text_batch(config, 1, 6, 3);
  for (tensor::Parameter* p : m.model->parameters()) {
    if (p->name == "model.layers.1.mlp.gate.weight") p->value.flat()[0] = NAN;
  }
  m.repack(compute(Precision::f32));
  Tape tape;
  EXPECT_FALSE(m.model->learn({.compute = compute(Precision::f32)}, batch, 1.0f, tape).ok());
  EXPECT_EQ(m.experts->tickets_held(), 0);
}

}  // namespace
}  // namespace agora::model
