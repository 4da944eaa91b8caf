#include "agora/nn/attention.h"

#include <bit>
#include <numeric>
#include <vector>

#include "agora/nn/finite_differences.h"
#include <gtest/gtest.h>

namespace agora::nn {
namespace {

using kernels::AttentionSequence;
using kernels::Precision;

struct Sequences {
  explicit Sequences(std::span<const int64_t> lengths) {
    int64_t begin = 0;
    for (const int64_t n : lengths) {
      list.push_back({begin, n, begin, n});
      for (int64_t i = 0; i < n; ++i) positions.push_back(static_cast<int32_t>(i));
      begin += n;
    }
  }
  AttentionBatch batch() const { return {list, positions}; }
  int64_t tokens() const { return static_cast<int64_t>(positions.size()); }
  std::vector<AttentionSequence> list;
  std::vector<int32_t> positions;
};

std::vector<AttentionConfig> configs() {
  return {
      {.width = 6, .heads = 2, .kv_heads = 2, .head_width = 4},
      {.width = 6, .heads = 4, .kv_heads = 2, .head_width = 4, .qkv_bias = true, .qk_norm = true},
      {.width = 5, .heads = 2, .kv_heads = 1, .head_width = 6, .causal = false, .qk_norm = true},
      {.width = 4, .heads = 1, .kv_heads = 1, .head_width = 3, .window = 2, .rotary = false},
  };
}

class AttentionBlock : public testing::Test {
 protected:
  kernels::Compute compute(Precision precision) {
    return {.table = &kernels::best_table(kernels::cpu_features()), .pool = &pool_, .precision = precision};
  }
  Attention make(const AttentionConfig& config, Train train, const kernels::Compute& compute) {
    Attention attention("a", config, train);
    attention.initialise(rng_, 0.6f, 0.6f);
    std::vector<Parameter*> parameters;
    attention.append_parameters(parameters);
    for (Parameter* p : parameters) {
      if (p->rank == 1) fill_normal(*p, rng_, 0.7f);
    }
    attention.repack(compute);
    return attention;
  }
  base::ThreadPool pool_{2};
  Rng rng_{1};
};

TEST_F(AttentionBlock, GradientByFiniteDifferences) {
  const kernels::Compute exact = compute(Precision::f32);
  const int64_t lengths[] = {3, 1, 4};
  const Sequences sequences(lengths);
  for (const AttentionConfig& config : configs()) {
    SCOPED_TRACE(testing::Message() << "width " << config.width);
    Attention attention = make(config, Train::yes, exact);
    Buffer<float> x = random_matrix(rng_, 8, config.width), dy = random_matrix(rng_, 8, config.width);
    Buffer<float> y(8, config.width, Purpose::scratch), dx(8, config.width, Purpose::scratch);
    const auto loss = [&] {
      attention.repack(exact);
      attention.forward(exact, x.view(), sequences.batch(), y.view(), Write::replace, nullptr);
      return dot(y.flat(), dy.flat());
    };
    AttentionSaved saved;
    attention.forward(exact, x.view(), sequences.batch(), y.view(), Write::replace, &saved);
    EXPECT_EQ(dot(y.flat(), dy.flat()), loss());  // keeping changes nothing
    attention.backward(exact, x.view(), sequences.batch(), saved, dy.view(), dx.view(), Write::replace);
    expect_gradient(x.flat(), dx.flat(), loss);
    std::vector<Parameter*> parameters;
    attention.append_parameters(parameters);
    for (Parameter* p : parameters) {
      SCOPED_TRACE(p->name);
      expect_gradient(p->value.flat(), p->gradient.flat(), loss);
    }
  }
}

// A longer batch before a shorter one: its memory stays, and nothing of it is in the shorter one's results.
TEST_F(AttentionBlock, MemoryIsKeptWhileTheBatchFits) {
  const kernels::Compute exact = compute(Precision::f32);
  for (const AttentionConfig& config : configs()) {
    const Buffer<float> x = random_matrix(rng_, 9, config.width), dy = random_matrix(rng_, 9, config.width);
    Buffer<float> y(9, config.width, Purpose::scratch);
    AttentionSaved reused;
    const auto pass = [&](int64_t rows, AttentionSaved& saved) {
      const int64_t lengths[] = {rows};
      const Sequences sequences(lengths);
      Rng weights(5);
      std::swap(rng_, weights);
      Attention attention = make(config, Train::yes, exact);
      std::swap(rng_, weights);
      std::vector<float> result;
      Buffer<float> dx(rows, config.width, Purpose::scratch);
      attention.forward(exact, x.view().rows_from(0, rows), sequences.batch(), y.view().rows_from(0, rows),
                        Write::replace, &saved);
      attention.backward(exact, x.view().rows_from(0, rows), sequences.batch(), saved,
                         dy.view().rows_from(0, rows), dx.view(), Write::replace);
      std::vector<Parameter*> parameters;
      attention.append_parameters(parameters);
      std::ranges::copy(y.flat().first(static_cast<size_t>(rows * config.width)), std::back_inserter(result));
      std::ranges::copy(dx.flat(), std::back_inserter(result));
      for (Parameter* p : parameters) std::ranges::copy(p->gradient.flat(), std::back_inserter(result));
      return result;
    };
    for (const int64_t rows : {4, 9, 5, 1, 9}) {
      AttentionSaved fresh;
      EXPECT_EQ(pass(rows, reused), pass(rows, fresh)) << rows << " rows";
    }
    pass(9, reused);
    const float* memory = reused.q.data();
    const int64_t size = reused.q.size();
    pass(5, reused);
    EXPECT_EQ(reused.q.data(), memory);
    EXPECT_EQ(reused.q.size(), size);
  }
}

TEST_F(AttentionBlock, ParametersHaveHuggingFaceNames) {
  Attention attention("model.layers.3.self_attn", configs()[1], Train::no);
  std::vector<Parameter*> parameters;
  attention.append_parameters(parameters);
  std::vector<std::string> names;
  for (const Parameter* p : parameters) names.push_back(p->name.substr(p->name.find("self_attn") + 10));
  EXPECT_EQ(names, (std::vector<std::string>{"q_proj.weight", "q_proj.bias", "k_proj.weight", "k_proj.bias",
                                             "v_proj.weight", "v_proj.bias", "o_proj.weight", "q_norm.weight",
                                             "k_norm.weight"}));
}

// Several sequences grow in turns of random sizes in one arena of keys; every row has the bits of the whole
// pass.
TEST_F(AttentionBlock, CacheGivesTheSameBits) {
  for (const Precision precision : {Precision::bf16, Precision::f32}) {
    for (AttentionConfig config : configs()) {
      if (!config.causal) continue;
      config.head_width *= 8;
      const kernels::Compute c = compute(precision);
      const Attention attention = make(config, Train::no, c);
      const int64_t lengths[] = {150, 1, 70};
      const Sequences whole(lengths);
      const Buffer<float> x = random_matrix(rng_, whole.tokens(), config.width);
      Buffer<float> y(whole.tokens(), config.width, Purpose::scratch);
      attention.forward(c, x.view(), whole.batch(), y.view(), Write::replace, nullptr);

      const int64_t cache_width = config.kv_heads * config.head_width;
      Buffer<float> k = random_matrix(rng_, 400, cache_width), v = random_matrix(rng_, 400, cache_width);
      const int64_t cache_begin[] = {200, 0, 20};
      int64_t done[] = {0, 0, 0};
      while (done[0] < lengths[0] || done[1] < lengths[1] || done[2] < lengths[2]) {
        std::vector<AttentionSequence> parts;
        std::vector<int64_t> rows;
        std::vector<int32_t> positions;
        for (int s = 0; s < 3; ++s) {
          const int64_t n = std::min<int64_t>(rng_.below(40), lengths[s] - done[s]);
          parts.push_back({static_cast<int64_t>(rows.size()), n, cache_begin[s], done[s] + n});
          for (int64_t i = 0; i < n; ++i) {
            positions.push_back(static_cast<int32_t>(done[s] + i));
            rows.push_back(whole.list[s].query_begin + done[s] + i);
          }
          done[s] += n;
        }
        Buffer<float> input(static_cast<int64_t>(rows.size()), config.width, Purpose::scratch);
        Buffer<float> output(input.rows(), config.width, Purpose::scratch);
        for (size_t r = 0; r < rows.size(); ++r) std::copy_n(x.row(rows[r]), config.width, input.row(r));
        const std::vector<KeyCache> caches(parts.size(), KeyCache{k.view(), v.view()});
        attention.forward_cached(c, input.view(), {parts, positions}, caches, output.view(), Write::replace);
        for (size_t r = 0; r < rows.size(); ++r) {
          for (int64_t d = 0; d < config.width; ++d) {
            ASSERT_EQ(std::bit_cast<uint32_t>(output.row(r)[d]), std::bit_cast<uint32_t>(y.row(rows[r])[d]));
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace agora::nn
