#include "agora/kernels/attention.h"

#include <numeric>
#include <vector>

#include "agora/kernels/reference/row_ops.h"
#include "agora/kernels/table.h"
#include "agora/kernels/test_numbers.h"
#include <gtest/gtest.h>

namespace agora::kernels {
namespace {

using tensor::Buffer;
using tensor::Purpose;

struct Inputs {
  Buffer<float> q, k, v, dout;
};

Inputs random_inputs(Rng& rng, const AttentionShape& shape, int64_t queries, int64_t keys) {
  return {random_matrix(rng, queries, shape.heads * shape.head_width, 1.5f),
          random_matrix(rng, keys, shape.kv_heads * shape.head_width, 1.5f),
          random_matrix(rng, keys, shape.kv_heads * shape.head_width),
          random_matrix(rng, queries, shape.heads * shape.head_width)};
}

struct Answer {
  explicit Answer(const Inputs& in, int64_t heads)
      : out(in.q.rows(), in.q.cols(), Purpose::scratch),
        log_sum(in.q.rows(), heads, Purpose::scratch),
        dq(in.q.rows(), in.q.cols(), Purpose::scratch),
        dk(in.k.rows(), in.k.cols(), Purpose::scratch),
        dv(in.k.rows(), in.k.cols(), Purpose::scratch) {}
  Buffer<float> out, log_sum, dq, dk, dv;
};

Answer run_all(const Compute& compute, const AttentionShape& shape,
               std::span<const AttentionSequence> sequences, const Inputs& in) {
  Answer a(in, shape.heads);
  attention_forward(compute, shape, sequences, in.q.view(), in.k.view(), in.v.view(), a.out.view(),
                    a.log_sum.view());
  attention_backward(compute, shape, sequences, in.q.view(), in.k.view(), in.v.view(), a.out.view(),
                     a.log_sum.view(), in.dout.view(), a.dq.view(), a.dk.view(), a.dv.view());
  return a;
}

Answer run_all(base::ThreadPool& pool, const AttentionShape& shape,
               std::span<const AttentionSequence> sequences, const Inputs& in) {
  return run_all({.pool = &pool, .precision = Precision::f32}, shape, sequences, in);
}

Answer run_reference(const AttentionShape& shape, std::span<const AttentionSequence> sequences,
                     const Inputs& in) {
  Answer a(in, shape.heads);
  reference::attention_forward(shape, sequences, in.q.view(), in.k.view(), in.v.view(), a.out.view(),
                               a.log_sum.view());
  reference::attention_backward(shape, sequences, in.q.view(), in.k.view(), in.v.view(), in.dout.view(),
                                a.dq.view(), a.dk.view(), a.dv.view());
  return a;
}

void expect_same_answer(const Answer& a, const Answer& b) {
  expect_same_bits(a.out.view(), b.out.view());
  expect_same_bits(a.log_sum.view(), b.log_sum.view());
  expect_same_bits(a.dq.view(), b.dq.view());
  expect_same_bits(a.dk.view(), b.dk.view());
  expect_same_bits(a.dv.view(), b.dv.view());
}

// Sequences one after the other, keys == queries.
std::vector<AttentionSequence> sequences_of(std::span<const int64_t> lengths) {
  std::vector<AttentionSequence> result;
  int64_t begin = 0;
  for (const int64_t n : lengths) {
    result.push_back({begin, n, begin, n});
    begin += n;
  }
  return result;
}

// Shapes and lengths that fit no tile.
const AttentionShape kOddShapes[] = {
    {.heads = 1, .kv_heads = 1, .head_width = 1, .causal = true},
    {.heads = 2, .kv_heads = 2, .head_width = 7, .causal = false},
    {.heads = 4, .kv_heads = 2, .head_width = 64, .causal = true},
    {.heads = 6, .kv_heads = 2, .head_width = 20, .causal = true, .window = 5},
    {.heads = 3, .kv_heads = 1, .head_width = 33, .causal = false, .window = 70},
    {.heads = 2, .kv_heads = 1, .head_width = 128, .causal = true, .window = 64},
};
constexpr int64_t kOddLengths[] = {0, 1, 2, 7, 64, 65, 63, 130, 0, 129};

TEST(Attention, EqualsReferenceOnOddSizes) {
  base::ThreadPool pool(2);
  Rng rng(1);
  const auto sequences = sequences_of(kOddLengths);
  const int64_t tokens = std::accumulate(std::begin(kOddLengths), std::end(kOddLengths), int64_t{0});
  for (const AttentionShape& shape : kOddShapes) {
    SCOPED_TRACE(testing::Message() << "head width " << shape.head_width << " window " << shape.window);
    const Inputs in = random_inputs(rng, shape, tokens, tokens);
    const Answer plain = run_reference(shape, sequences, in);
    for_each_target([&] {
      const Answer fast = run_all(pool, shape, sequences, in);
      expect_near(fast.out.view(), plain.out.view(), 1e-5f);
      expect_near(fast.log_sum.view(), plain.log_sum.view(), 1e-5f);
      expect_near(fast.dq.view(), plain.dq.view(), 3e-5f);
      expect_near(fast.dk.view(), plain.dk.view(), 3e-5f);
      expect_near(fast.dv.view(), plain.dv.view(), 3e-5f);
    });
  }
}

// Products of bf16 round their inputs: 2^-9 of each number, a few of which add up.
TEST(Attention, InBf16EqualsReferenceToItsRounding) {
  base::ThreadPool pool(2);
  Rng rng(5);
  const auto sequences = sequences_of(kOddLengths);
  const int64_t tokens = std::accumulate(std::begin(kOddLengths), std::end(kOddLengths), int64_t{0});
  for (const AttentionShape& shape : kOddShapes) {
    const Inputs in = random_inputs(rng, shape, tokens, tokens);
    const Answer plain = run_reference(shape, sequences, in);
    for (const Table* table : all_tables(cpu_features())) {
      SCOPED_TRACE(testing::Message() << table->name << ", head width " << shape.head_width);
      const Answer fast = run_all({.table = table, .pool = &pool}, shape, sequences, in);
      expect_near(fast.out.view(), plain.out.view(), 0.03f);
      expect_near(fast.log_sum.view(), plain.log_sum.view(), 0.03f);
      expect_near(fast.dq.view(), plain.dq.view(), 0.1f);
      expect_near(fast.dk.view(), plain.dk.view(), 0.1f);
      expect_near(fast.dv.view(), plain.dv.view(), 0.1f);
    }
  }
}

TEST(Attention, MoreKeysThanQueriesEqualsReference) {
  base::ThreadPool pool(1);
  Rng rng(2);
  const AttentionShape shape{.heads = 4, .kv_heads = 1, .head_width = 16, .causal = true};
  const AttentionSequence sequences[] = {{0, 1, 5, 90}, {1, 70, 100, 200}, {71, 3, 0, 3}};
  const Inputs in = random_inputs(rng, shape, 74, 300);
  const Answer fast = run_all(pool, shape, sequences, in), plain = run_reference(shape, sequences, in);
  expect_near(fast.out.view(), plain.out.view(), 1e-5f);
  expect_near(fast.dq.view(), plain.dq.view(), 3e-5f);
}

// A row's bits do not depend on the other sequences, on the number of threads, or on how many queries are
// asked at once.
void expect_same_bits_in(Precision precision) {
  base::ThreadPool one(1), three(3);
  const Table* table = &best_table(cpu_features());
  const Compute compute{.table = table, .pool = &one, .precision = precision};
  const Compute threads{.table = table, .pool = &three, .precision = precision};
  Rng rng(3);
  for (int round = 0; round < 12; ++round) {
    const AttentionShape shape{.heads = 4,
                               .kv_heads = round % 3 == 0 ? 4 : 2,
                               .head_width = round % 2 == 0 ? 64 : 24,
                               .causal = round % 4 != 3,
                               .window = round % 5 == 4 ? 40 : 0};
    const int64_t lengths[] = {1 + rng.below(300), 1 + rng.below(300), 1 + rng.below(40)};
    const auto sequences = sequences_of(lengths);
    const int64_t tokens = lengths[0] + lengths[1] + lengths[2];
    const Inputs in = random_inputs(rng, shape, tokens, tokens);
    const Answer batch = run_all(compute, shape, sequences, in);
    expect_same_answer(run_all(threads, shape, sequences, in), batch);
    Answer alone(in, shape.heads);
    for (const AttentionSequence& s : sequences) {
      // Without causality a query sees all keys, so all are there at once; with it they come in random steps.
      for (int64_t done = 0; done < s.queries;) {
        const int64_t step =
            shape.causal ? std::min<int64_t>(1 + rng.below(90), s.queries - done) : s.queries;
        const AttentionSequence part{s.query_begin + done, step, s.key_begin, done + step};
        attention_forward(compute, shape, {&part, 1}, in.q.view(), in.k.view(), in.v.view(), alone.out.view(),
                          alone.log_sum.view());
        done += step;
      }
      attention_backward(compute, shape, {&s, 1}, in.q.view(), in.k.view(), in.v.view(), alone.out.view(),
                         alone.log_sum.view(), in.dout.view(), alone.dq.view(), alone.dk.view(),
                         alone.dv.view());
    }
    expect_same_answer(alone, batch);
  }
}

TEST(Attention, SameBitsAloneInABatchAndWithACache) { expect_same_bits_in(Precision::f32); }
TEST(Attention, SameBitsAloneInABatchAndWithACacheInBf16) { expect_same_bits_in(Precision::bf16); }

TEST(Attention, GradientByFiniteDifferences) {
  base::ThreadPool pool(1);
  Rng rng(4);
  const AttentionShape shape{.heads = 2, .kv_heads = 1, .head_width = 5, .causal = true};
  const AttentionSequence sequences[] = {{0, 6, 0, 6}};
  Inputs in = random_inputs(rng, shape, 6, 6);
  const Answer answer = run_all(pool, shape, sequences, in);
  const auto loss = [&] {
    const Answer a = run_reference(shape, sequences, in);
    double sum = 0;
    for (int64_t i = 0; i < a.out.size(); ++i) sum += double{a.out.data()[i]} * in.dout.data()[i];
    return sum;
  };
  for (const auto& [x, gradient] : {std::pair{&in.q, &answer.dq}, {&in.k, &answer.dk}, {&in.v, &answer.dv}}) {
    for (int64_t i = 0; i < x->size(); ++i) {
      const float kept = x->data()[i], step = 1e-2f;
      x->data()[i] = kept + step;
      const double above = loss();
      x->data()[i] = kept - step;
      const double below = loss();
      x->data()[i] = kept;
      EXPECT_NEAR((above - below) / (2 * step), gradient->data()[i], 2e-3);
    }
  }
}

TEST(Attention, NothingToDo) {
  base::ThreadPool pool(2);
  const AttentionShape shape{.heads = 1, .kv_heads = 1, .head_width = 4};
  const Inputs in = {Buffer<float>(0, 4, Purpose::scratch), Buffer<float>(0, 4, Purpose::scratch),
                     Buffer<float>(0, 4, Purpose::scratch), Buffer<float>(0, 4, Purpose::scratch)};
  run_all(pool, shape, {}, in);
}

}  // namespace
}  // namespace agora::kernels
