#include <cmath>
#include <vector>

#include "agora/kernels/reference/row_ops.h"
#include "agora/kernels/row_ops.h"
#include "agora/kernels/table.h"
#include "agora/kernels/test_numbers.h"
#include <gtest/gtest.h>

namespace agora::kernels {
namespace {

struct Problem {
  Buffer<float> x, head;
  std::vector<int32_t> targets;
};

Problem random_problem(Rng& rng, int64_t rows, int64_t width, int64_t vocabulary) {
  Problem p{random_matrix(rng, rows, width), random_matrix(rng, vocabulary, width, 0.3f), {}};
  for (int64_t t = 0; t < rows; ++t) {
    p.targets.push_back(t % 7 == 3 ? -1 : static_cast<int32_t>(rng.below(static_cast<uint32_t>(vocabulary))));
  }
  return p;
}

struct Answer {
  explicit Answer(const Problem& p)
      : loss(p.targets.size()),
        dx(p.x.rows(), p.x.cols(), Purpose::scratch),
        dhead(p.head.rows(), p.head.cols(), Purpose::scratch) {}
  std::vector<float> loss;
  Buffer<float> dx, dhead;
  View<const float> losses() const { return {loss.data(), 1, static_cast<int64_t>(loss.size())}; }
};

Answer run_fused(const Compute& compute, const Problem& p, float scale) {
  Answer a(p);
  const PackedMatrix head = pack(compute, p.head.view()),
                     transposed = pack_transposed(compute, p.head.view());
  cross_entropy(compute, p.x.view(), head, transposed, p.targets, scale, a.loss, a.dx.view(), a.dhead.view());
  return a;
}

TEST(CrossEntropy, EqualsReferenceOnOddSizes) {
  base::ThreadPool pool(2);
  Rng rng(1);
  struct {
    int64_t rows, width, vocabulary;
  } const sizes[] = {{1, 1, 1}, {3, 5, 2}, {33, 16, 17}, {70, 48, 100}, {65, 20, 1000}};
  for (const Table* table : all_tables(cpu_features())) {
    SCOPED_TRACE(table->name);
    for (const auto& size : sizes) {
      const Problem p = random_problem(rng, size.rows, size.width, size.vocabulary);
      Answer plain(p);
      reference::cross_entropy(p.x.view(), p.head.view(), p.targets, 0.25f, plain.loss, plain.dx.view(),
                               plain.dhead.view());
      for_each_target([&] {
        const Answer f32 = run_fused({.table = table, .pool = &pool, .precision = Precision::f32}, p, 0.25f);
        expect_near(f32.losses(), plain.losses(), 1e-5f);
        expect_near(f32.dx.view(), plain.dx.view(), 1e-5f);
        expect_near(f32.dhead.view(), plain.dhead.view(), 1e-5f);
      });
      const Answer half = run_fused({.table = table, .pool = &pool, .precision = Precision::bf16}, p, 0.25f);
      expect_near(half.losses(), plain.losses(), 2e-2f);
      expect_near(half.dx.view(), plain.dx.view(), 2e-2f);
      expect_near(half.dhead.view(), plain.dhead.view(), 2e-2f);
    }
  }
}

// A row's bits do not depend on the rows beside it; none depend on the number of threads. Stripes are
// crossed.
TEST(CrossEntropy, SameBitsAloneAndForAnyThreads) {
  base::ThreadPool one(1), three(3);
  Rng rng(2);
  const Table& table = best_table(cpu_features());
  for (const Precision precision : {Precision::bf16, Precision::f32}) {
    const Compute alone{.table = &table, .pool = &one, .precision = precision};
    const Compute shared{.table = &table, .pool = &three, .precision = precision};
    const Problem p = random_problem(rng, 600, 24, 9000);
    const Answer a = run_fused(alone, p, 0.01f), b = run_fused(shared, p, 0.01f);
    expect_same_bits(a.losses(), b.losses());
    expect_same_bits(a.dx.view(), b.dx.view());
    expect_same_bits(a.dhead.view(), b.dhead.view());

    const PackedMatrix head = pack(alone, p.head.view());
    std::vector<float> losses_only(600);
    cross_entropy(alone, p.x.view(), head, {}, p.targets, 0.01f, losses_only, {}, {});
    expect_same_bits({losses_only.data(), 1, 600}, a.losses());
    for (int round = 0; round < 20; ++round) {
      const auto begin = static_cast<int64_t>(rng.below(599)), count = 1 + int64_t{rng.below(600 - begin)};
      const std::span<const int32_t> targets = std::span(p.targets).subspan(begin, count);
      std::vector<float> loss(static_cast<size_t>(count));
      cross_entropy(alone, p.x.view().rows_from(begin, count), head, {}, targets, 0.01f, loss, {}, {});
      expect_same_bits({loss.data(), 1, count}, a.losses().columns(begin, count));
    }
  }
}

TEST(CrossEntropy, GradientByFiniteDifferences) {
  base::ThreadPool pool(1);
  Rng rng(3);
  const Compute compute{.table = &best_table(cpu_features()), .pool = &pool, .precision = Precision::f32};
  Problem p = random_problem(rng, 5, 6, 11);
  const Answer answer = run_fused(compute, p, 0.2f);
  const auto loss = [&] {
    Answer plain(p);
    reference::cross_entropy(p.x.view(), p.head.view(), p.targets, 0.2f, plain.loss, {}, {});
    double sum = 0;
    for (const float l : plain.loss) sum += 0.2 * l;
    return sum;
  };
  for (const auto& [x, gradient] : {std::pair{&p.x, &answer.dx}, {&p.head, &answer.dhead}}) {
    for (int64_t i = 0; i < x->size(); ++i) {
      const float kept = x->data()[i], step = 2e-2f;
      x->data()[i] = kept + step;
      const double above = loss();
      x->data()[i] = kept - step;
      const double below = loss();
      x->data()[i] = kept;
      EXPECT_NEAR((above - below) / (2 * step), gradient->data()[i], 1e-4);
    }
  }
}

TEST(CrossEntropy, LargeLogitsStayFiniteAndNanIsSeen) {
  for_each_target([] {
    base::ThreadPool pool(1);
    const Compute compute{.table = &best_table(cpu_features()), .pool = &pool, .precision = Precision::f32};
    Problem p{Buffer<float>(3, 1, Purpose::scratch), Buffer<float>(20, 1, Purpose::scratch), {0, 5, 19}};
    for (int64_t v = 0; v < 20; ++v) p.head.data()[v] = static_cast<float>(v);
    p.x.data()[0] = 1e4f;
    p.x.data()[1] = -1e4f;
    p.x.data()[2] = NAN;
    const Answer a = run_fused(compute, p, 1.0f);
    EXPECT_NEAR(a.loss[0], 19e4f, 1.0f);
    EXPECT_NEAR(a.loss[1], 5e4f, 1.0f);
    EXPECT_TRUE(std::isnan(a.loss[2]));
  });
}

}  // namespace
}  // namespace agora::kernels
