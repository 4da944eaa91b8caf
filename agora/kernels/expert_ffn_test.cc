#include "agora/kernels/expert_ffn.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <numeric>

#include "agora/kernels/reference/expert_ffn.h"
#include "agora/kernels/table.h"
#include "agora/kernels/table_cases.h"
#include "agora/kernels/test_numbers.h"
#include "agora/kernels/workspace.h"
#include <gtest/gtest.h>

namespace agora::kernels {
namespace {

constexpr Activation kActivations[] = {Activation::swiglu, Activation::gelu, Activation::relu,
                                       Activation::linear};

// One expert's matrices and where its gradients go.
struct Expert {
  Expert(Rng& rng, Activation activation, int64_t d, int64_t h, bool biases)
      : activation(activation),
        gate(activation == Activation::swiglu ? random_matrix(rng, h, d, 0.3f) : Buffer<float>()),
        up(random_matrix(rng, h, d, 0.3f)),
        down(activation == Activation::linear ? Buffer<float>() : random_matrix(rng, d, h, 0.3f)),
        up_bias(biases ? random_matrix(rng, 1, h) : Buffer<float>()),
        down_bias(biases && activation != Activation::linear ? random_matrix(rng, 1, d) : Buffer<float>()) {}

  ExpertWeights weights() const {
    return {gate.view(), up.view(), down.view(), up_bias.view(), down_bias.view()};
  }

  Activation activation;
  Buffer<float> gate, up, down, up_bias, down_bias;
};

Buffer<float> zeros_like(const Buffer<float>& x) {
  return Buffer<float>(x.rows(), x.cols(), Purpose::gradient);
}

struct Gradients {
  explicit Gradients(const Expert& e)
      : gate(zeros_like(e.gate)),
        up(zeros_like(e.up)),
        down(zeros_like(e.down)),
        up_bias(zeros_like(e.up_bias)),
        down_bias(zeros_like(e.down_bias)) {}
  ExpertGradients views() { return {gate.view(), up.view(), down.view(), up_bias.view(), down_bias.view()}; }
  Buffer<float> gate, up, down, up_bias, down_bias;
};

// A batch for several experts: who works on which token, with which weight.
struct Batch {
  Batch(Rng& rng, int64_t d, int64_t tokens, const std::vector<int64_t>& rows_of_experts)
      : x(random_matrix(rng, tokens, d)), dy(random_matrix(rng, tokens, d)), rows(rows_of_experts) {
    entries = std::accumulate(rows.begin(), rows.end(), int64_t{0});
    for (int64_t i = 0; i < entries; ++i) {
      token.push_back(static_cast<int32_t>(rng.below(static_cast<uint32_t>(tokens))));
      weight.push_back(0.25f + rng.uniform());
    }
  }

  std::vector<ExpertGroup> groups(const std::vector<ExpertPack>& packs) const {
    std::vector<ExpertGroup> result;
    int64_t entry = 0;
    for (size_t e = 0; e < packs.size(); ++e) {
      result.push_back({&packs[e], token.data() + entry, weight.data() + entry, rows[e], entry});
      entry += rows[e];
    }
    return result;
  }

  Buffer<float> x, dy;
  std::vector<int64_t> rows;
  int64_t entries = 0;
  std::vector<int32_t> token;
  std::vector<float> weight;
};

struct Results {
  Results(int64_t entries, int64_t d) : out(entries, d, Purpose::scratch), dx(entries, d, Purpose::scratch) {
    dweights.resize(static_cast<size_t>(entries));
  }
  Buffer<float> out, dx;
  std::vector<float> dweights;
};

class ExpertFfn : public testing::TestWithParam<TableCase> {
 protected:
  Compute compute(int threads = 1) {
    std::unique_ptr<base::ThreadPool>& pool = pools_[threads];
    if (pool == nullptr) pool = std::make_unique<base::ThreadPool>(threads);
    return {GetParam().table, pool.get(), GetParam().precision, &workspace_};
  }
  // Of sums near 1: f32 adds rounding of sums only; bf16 rounds inputs, weights and the hidden row to 8 bits.
  float tolerance() const { return GetParam().precision == Precision::f32 ? 1e-4f : 6e-2f; }

  std::vector<ExpertPack> pack_all(const std::vector<Expert>& experts) {
    std::vector<ExpertPack> packs;
    for (const Expert& e : experts) packs.push_back(pack_expert(compute(), e.activation, e.weights(), true));
    return packs;
  }

  Results run(const Compute& with, const Batch& batch, const std::vector<ExpertPack>& packs,
              std::vector<Gradients>& gradients, const std::function<void(const Results&)>& on_rows = {}) {
    Results results(batch.entries, batch.x.cols());
    const std::vector<ExpertGroup> groups = batch.groups(packs);
    std::vector<ExpertGradients> views;
    for (Gradients& g : gradients) views.push_back(g.views());
    ExpertSaved saved;
    experts_forward(with, batch.x.view(), groups, results.out.view(), &saved);
    std::function<void()> rows_are_there;
    if (on_rows) rows_are_there = [&] { on_rows(results); };
    experts_backward(with, batch.x.view(), groups, saved, batch.dy.view(), views, results.dx.view(),
                     results.dweights, rows_are_there);
    return results;
  }

  Rng rng_{23};
  Workspace workspace_;
  std::map<int, std::unique_ptr<base::ThreadPool>> pools_;  // by their threads
};

Results reference_results(const Batch& batch, const std::vector<Expert>& experts,
                          std::vector<Gradients>& gradients) {
  Results results(batch.entries, batch.x.cols());
  int64_t entry = 0;
  for (size_t e = 0; e < experts.size(); ++e) {
    for (int64_t r = 0; r < batch.rows[e]; ++r, ++entry) {
      const auto i = static_cast<size_t>(entry);
      const auto x = batch.x.view().row_span(batch.token[i]);
      const auto dy = batch.dy.view().row_span(batch.token[i]);
      const std::vector<double> y = reference::expert(experts[e].activation, experts[e].weights(), x);
      for (size_t d = 0; d < y.size(); ++d)
        results.out.row(entry)[d] = static_cast<float>(batch.weight[i] * y[d]);
      reference::expert_backward(experts[e].activation, experts[e].weights(), x, dy, batch.weight[i],
                                 gradients[e].views(), results.dx.view().row_span(entry),
                                 &results.dweights[i]);
    }
  }
  return results;
}

View<const float> as_row(const std::vector<float>& v) {
  return {v.data(), 1, static_cast<int64_t>(v.size())};
}

// Compares against the largest number of the matrix: bf16's errors are of that size wherever they fall.
void expect_close(View<const float> a, View<const float> b, float tolerance) {
  float scale = 1e-3f;
  for (int64_t r = 0; r < b.rows; ++r) {
    for (int64_t c = 0; c < b.cols; ++c) scale = std::max(scale, std::abs(b.row(r)[c]));
  }
  for (int64_t r = 0; r < a.rows; ++r) {
    for (int64_t c = 0; c < a.cols; ++c) {
      ASSERT_NEAR(a.row(r)[c], b.row(r)[c], tolerance * scale) << "row " << r << " col " << c;
    }
  }
}

void expect_close(Gradients& a, Gradients& b, float tolerance) {
  expect_close(a.gate.view(), b.gate.view(), tolerance);
  expect_close(a.up.view(), b.up.view(), tolerance);
  expect_close(a.down.view(), b.down.view(), tolerance);
  expect_close(a.up_bias.view(), b.up_bias.view(), tolerance);
  expect_close(a.down_bias.view(), b.down_bias.view(), tolerance);
}

TEST_P(ExpertFfn, EqualsReference) {
  for (const Activation activation : kActivations) {
    for (const auto& [d, h] : {std::pair<int64_t, int64_t>{16, 32}, {33, 19}, {70, 101}}) {
      SCOPED_TRACE(testing::Message()
                   << "activation " << static_cast<int>(activation) << " D " << d << " H " << h);
      std::vector<Expert> experts;
      const int64_t hidden = activation == Activation::linear ? d : h;
      for (int e = 0; e < 4; ++e) {
        experts.emplace_back(rng_, activation, d, hidden, activation != Activation::swiglu && e != 1);
      }
      const Batch batch(rng_, d, 12, {7, 0, 1, 6});
      std::vector<Gradients> gradients(experts.begin(), experts.end());
      std::vector<Gradients> expected_gradients(experts.begin(), experts.end());
      const Results expected = reference_results(batch, experts, expected_gradients);
      const Results results = run(compute(2), batch, pack_all(experts), gradients);
      expect_close(results.out.view(), expected.out.view(), tolerance());
      expect_close(results.dx.view(), expected.dx.view(), tolerance());
      expect_close(as_row(results.dweights), as_row(expected.dweights), tolerance());
      for (size_t e = 0; e < experts.size(); ++e)
        expect_close(gradients[e], expected_gradients[e], tolerance());
    }
  }
}

TEST_P(ExpertFfn, ManyRows) {
  std::vector<Expert> experts;
  for (int e = 0; e < 2; ++e) experts.emplace_back(rng_, Activation::swiglu, 24, 40, false);
  const Batch batch(rng_, 24, 90, {300, 131});
  std::vector<Gradients> gradients(experts.begin(), experts.end());
  std::vector<Gradients> expected_gradients(experts.begin(), experts.end());
  const Results expected = reference_results(batch, experts, expected_gradients);
  const Results results = run(compute(2), batch, pack_all(experts), gradients);
  expect_close(results.out.view(), expected.out.view(), tolerance());
  expect_close(results.dx.view(), expected.dx.view(), tolerance());
  for (size_t e = 0; e < experts.size(); ++e) expect_close(gradients[e], expected_gradients[e], tolerance());
}

// The promise of expert_ffn.h: an entry's results are the same bits whatever shares its batch, for any number
// of threads.
TEST_P(ExpertFfn, EntriesDoNotDependOnTheBatch) {
  constexpr int64_t kTokens = 40;
  const int64_t d = 50;
  std::vector<Expert> experts;
  for (int e = 0; e < 3; ++e) experts.emplace_back(rng_, Activation::swiglu, d, 83, false);
  const std::vector<ExpertPack> packs = pack_all(experts);
  const Buffer<float> x = random_matrix(rng_, kTokens, d);
  const Buffer<float> dy = random_matrix(rng_, kTokens, d);
  const auto work = [&](const std::vector<int64_t>& rows, const std::vector<int32_t>& tokens, int threads) {
    Batch batch(rng_, d, kTokens, rows);
    std::copy_n(x.data(), x.size(), batch.x.data());
    std::copy_n(dy.data(), dy.size(), batch.dy.data());
    batch.token = tokens;
    for (size_t i = 0; i < tokens.size(); ++i) batch.weight[i] = 0.5f + 0.01f * static_cast<float>(tokens[i]);
    std::vector<Gradients> gradients(experts.begin(), experts.end());
    return run(compute(threads), batch, packs, gradients);
  };
  std::vector<Results> alone;  // [expert * kTokens + token]
  for (int64_t e = 0; e < 3; ++e) {
    for (int32_t t = 0; t < kTokens; ++t) {
      std::vector<int64_t> rows(3, 0);
      rows[static_cast<size_t>(e)] = 1;
      alone.push_back(work(rows, {t}, 1));
    }
  }
  for (int round = 0; round < 8; ++round) {
    const std::vector<int64_t> rows = {1 + rng_.below(150), rng_.below(20), 1 + rng_.below(130)};
    std::vector<int32_t> tokens;
    for (int64_t i = 0; i < rows[0] + rows[1] + rows[2]; ++i)
      tokens.push_back(static_cast<int32_t>(rng_.below(kTokens)));
    const Results together = work(rows, tokens, 1 + round % 3);
    for (int64_t i = 0; i < static_cast<int64_t>(tokens.size()); ++i) {
      const int64_t e = i < rows[0] ? 0 : i < rows[0] + rows[1] ? 1 : 2;
      const Results& one = alone[static_cast<size_t>(e * kTokens + tokens[static_cast<size_t>(i)])];
      expect_same_bits(together.out.view().rows_from(i, 1), one.out.view());
      expect_same_bits(together.dx.view().rows_from(i, 1), one.dx.view());
      expect_same_bits(View<const float>{&together.dweights[static_cast<size_t>(i)], 1, 1},
                       as_row(one.dweights));
    }
  }
}

TEST_P(ExpertFfn, GradientsDoNotDependOnThreads) {
  std::vector<Expert> experts;
  for (int e = 0; e < 3; ++e) experts.emplace_back(rng_, Activation::gelu, 35, 90, true);
  const Batch batch(rng_, 35, 50, {140, 3, 77});
  const std::vector<ExpertPack> packs = pack_all(experts);
  std::vector<Gradients> one(experts.begin(), experts.end());
  run(compute(1), batch, packs, one);
  for (const int threads : {2, 3}) {
    std::vector<Gradients> many(experts.begin(), experts.end());
    run(compute(threads), batch, packs, many);
    for (size_t e = 0; e < experts.size(); ++e) {
      expect_same_bits(many[e].gate.view(), one[e].gate.view());
      expect_same_bits(many[e].up.view(), one[e].up.view());
      expect_same_bits(many[e].down.view(), one[e].down.view());
      expect_same_bits(many[e].up_bias.view(), one[e].up_bias.view());
      expect_same_bits(many[e].down_bias.view(), one[e].down_bias.view());
    }
  }
}

// Of 100,000 rows only the last waves' come before their weights.
TEST_P(ExpertFfn, RowsThatComeFirstChangeNoBit) {
  std::vector<Expert> experts;
  for (int e = 0; e < 2; ++e) experts.emplace_back(rng_, Activation::swiglu, 8, 60, false);
  const std::vector<ExpertPack> packs = pack_all(experts);
  for (const int64_t rows : {40, 100000}) {
    if (rows > 40 && GetParam().table != &best_table(cpu_features())) continue;  // slow ones cut alike
    const Batch batch(rng_, 8, 90, {rows, 31});
    std::vector<Gradients> first(experts.begin(), experts.end()), last(experts.begin(), experts.end());
    std::vector<float> gradient_then, dx_then, dweights_then;
    int calls = 0;
    const Results results = run(compute(2), batch, packs, first, [&](const Results& now) {
      ++calls;
      dx_then.assign(now.dx.flat().begin(), now.dx.flat().end());
      dweights_then = now.dweights;
      gradient_then.assign(first[0].up.flat().begin(), first[0].up.flat().end());
    });
    const Results expected = run(compute(1), batch, packs, last);
    EXPECT_EQ(calls, 1);
    expect_same_bits(View<const float>(dx_then.data(), expected.dx.rows(), 8), expected.dx.view());
    expect_same_bits(as_row(dweights_then), as_row(expected.dweights));
    expect_same_bits(results.dx.view(), expected.dx.view());
    const bool untouched = std::ranges::all_of(gradient_then, [](float g) { return g == 0.0f; });
    EXPECT_EQ(untouched, rows == 40);
    for (size_t e = 0; e < experts.size(); ++e) {
      expect_same_bits(first[e].gate.view(), last[e].gate.view());
      expect_same_bits(first[e].up.view(), last[e].up.view());
      expect_same_bits(first[e].down.view(), last[e].down.view());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, ExpertFfn, testing::ValuesIn(table_cases()), name_of_case);

// The gradient of sum(out * dy) by finite differences, in f32 with the best table.
class ExpertGradient : public testing::TestWithParam<Activation> {};

double loss_of(const Compute& compute, const std::vector<Expert>& experts, const Batch& batch) {
  std::vector<ExpertPack> packs;
  for (const Expert& e : experts) packs.push_back(pack_expert(compute, e.activation, e.weights(), false));
  Buffer<float> out(batch.entries, batch.x.cols(), Purpose::scratch);
  experts_forward(compute, batch.x.view(), batch.groups(packs), out.view(), nullptr);
  double loss = 0.0;
  for (int64_t i = 0; i < batch.entries; ++i) {
    const float* dy = batch.dy.row(batch.token[static_cast<size_t>(i)]);
    for (int64_t d = 0; d < out.cols(); ++d) loss += double{out.row(i)[d]} * dy[d];
  }
  return loss;
}

TEST_P(ExpertGradient, FiniteDifferences) {
  Rng rng(5);
  base::ThreadPool pool(1);
  const Compute compute{&best_table(cpu_features()), &pool, Precision::f32};
  const int64_t h = GetParam() == Activation::linear ? 6 : 9;
  std::vector<Expert> experts;
  for (int e = 0; e < 2; ++e) experts.emplace_back(rng, GetParam(), 6, h, GetParam() != Activation::swiglu);
  Batch batch(rng, 6, 4, {3, 4});
  std::vector<Gradients> gradients(experts.begin(), experts.end());
  std::vector<ExpertGradients> views;
  for (Gradients& g : gradients) views.push_back(g.views());
  std::vector<ExpertPack> packs;
  for (const Expert& e : experts) packs.push_back(pack_expert(compute, e.activation, e.weights(), true));
  Results results(batch.entries, 6);
  ExpertSaved saved;
  experts_forward(compute, batch.x.view(), batch.groups(packs), results.out.view(), &saved);
  experts_backward(compute, batch.x.view(), batch.groups(packs), saved, batch.dy.view(), views,
                   results.dx.view(), results.dweights);
  const auto check = [&](float& at, double gradient, const char* what) {
    constexpr float kStepSize = 1e-2f;
    const float kept = at;
    at = kept + kStepSize;
    const double above = loss_of(compute, experts, batch);
    at = kept - kStepSize;
    const double below = loss_of(compute, experts, batch);
    at = kept;
    EXPECT_NEAR((above - below) / (2.0 * kStepSize), gradient, 2e-2 * (1.0 + std::abs(gradient))) << what;
  };
  const auto check_all = [&](Buffer<float>& matrix, const Buffer<float>& gradient, const char* what) {
    for (int64_t i = 0; i < matrix.size(); ++i) check(matrix.data()[i], gradient.data()[i], what);
  };
  for (size_t e = 0; e < experts.size(); ++e) {
    check_all(experts[e].gate, gradients[e].gate, "gate");
    check_all(experts[e].up, gradients[e].up, "up");
    check_all(experts[e].down, gradients[e].down, "down");
    check_all(experts[e].up_bias, gradients[e].up_bias, "up bias");
    check_all(experts[e].down_bias, gradients[e].down_bias, "down bias");
  }
  for (size_t i = 0; i < batch.weight.size(); ++i)
    check(batch.weight[i], results.dweights[i], "gate's weight");
  for (int64_t t = 0; t < 4; ++t) {
    for (int64_t d = 0; d < 6; ++d) {
      double gradient = 0.0;
      for (int64_t i = 0; i < batch.entries; ++i) {
        if (batch.token[static_cast<size_t>(i)] == t) gradient += results.dx.row(i)[d];
      }
      check(batch.x.row(t)[d], gradient, "x");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Activations, ExpertGradient, testing::ValuesIn(kActivations));

TEST(FrozenExpert, FrozenMatricesGetNoGradient) {
  Rng rng(9);
  base::ThreadPool pool(2);
  const Compute compute{&best_table(cpu_features()), &pool, Precision::bf16};
  const Expert expert(rng, Activation::swiglu, 32, 48, false);
  const std::vector<ExpertPack> packs = [&] {
    std::vector<ExpertPack> result;
    result.push_back(pack_expert(compute, expert.activation, expert.weights(), true));
    return result;
  }();
  const Batch batch(rng, 32, 10, {10});
  Gradients gradients(expert);
  ExpertGradients only_down;
  only_down.down = gradients.down.view();
  Results results(10, 32);
  ExpertSaved saved;
  experts_forward(compute, batch.x.view(), batch.groups(packs), results.out.view(), &saved);
  experts_backward(compute, batch.x.view(), batch.groups(packs), saved, batch.dy.view(), {{only_down}},
                   results.dx.view(), results.dweights);
  EXPECT_NE(gradients.down.row(3)[3], 0.0f);
}

}  // namespace
}  // namespace agora::kernels
