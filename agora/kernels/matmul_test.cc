#include "agora/kernels/matmul.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <vector>

#include "agora/kernels/reference/matmul.h"
#include "agora/kernels/table.h"
#include "agora/kernels/table_cases.h"
#include "agora/kernels/test_numbers.h"
#include "agora/kernels/workspace.h"
#include <gtest/gtest.h>

namespace agora::kernels {
namespace {

class Matmul : public testing::TestWithParam<TableCase> {
 protected:
  Compute compute(int threads = 1) {
    std::unique_ptr<base::ThreadPool>& pool = pools_[threads];
    if (pool == nullptr) pool = std::make_unique<base::ThreadPool>(threads);
    return {GetParam().table, pool.get(), GetParam().precision, &workspace_};
  }

  // Numbers that both precisions hold exactly, so that only the order of additions differs from the
  // reference.
  Buffer<float> numbers(int64_t rows, int64_t cols) {
    Buffer<float> x = random_matrix(rng_, rows, cols);
    for (float& v : x.flat()) v = tensor::to_float(tensor::to_bf16(v));
    return x;
  }

  Rng rng_{17};
  Workspace workspace_;
  std::map<int, std::unique_ptr<base::ThreadPool>> pools_;  // by their threads
};

constexpr float kTolerance = 2e-5f;  // f32 sums of up to 600 products of deviation 1, times 1 + |y|

TEST_P(Matmul, EqualsReference) {
  for (const int64_t rows : {0, 1, 2, 5, 6, 7, 33, 300}) {
    for (const auto& [k, n] : {std::pair{1, 1}, {2, 17}, {31, 16}, {64, 64}, {129, 83}, {517, 130}}) {
      SCOPED_TRACE(testing::Message() << "T " << rows << " K " << k << " N " << n);
      const Buffer<float> x = numbers(rows, k);
      const Buffer<float> weight = numbers(n, k);
      Buffer<float> expected(rows, n, Purpose::scratch);
      Buffer<float> y(rows, n, Purpose::scratch);
      reference::matmul(x.view(), weight.view(), expected.view());
      matmul(compute(), x.view(), pack(compute(), weight.view()), y.view());
      expect_near(y.view(), expected.view(), kTolerance);
    }
  }
}

TEST_P(Matmul, AddsAndTransposes) {
  const Buffer<float> x = numbers(9, 70);
  const Buffer<float> weight = numbers(70, 37);  // inner 70
  Buffer<float> turned(37, 70, Purpose::scratch);
  for (int64_t r = 0; r < 37; ++r) {
    for (int64_t c = 0; c < 70; ++c) turned.row(r)[c] = weight.row(c)[r];
  }
  Buffer<float> expected(9, 37, Purpose::scratch);
  reference::matmul(x.view(), turned.view(), expected.view());
  for (float& v : expected.flat()) v *= 2.0f;
  Buffer<float> y(9, 37, Purpose::scratch);
  const PackedMatrix packed = pack_transposed(compute(), weight.view());
  matmul(compute(), x.view(), packed, y.view());
  matmul(compute(), x.view(), packed, y.view(), Write::add);
  expect_near(y.view(), expected.view(), kTolerance);
}

TEST_P(Matmul, ReadsAndWritesPartsOfRows) {
  const Buffer<float> x = numbers(20, 90);
  const Buffer<float> weight = numbers(40, 33);
  Buffer<float> y(20, 100, Purpose::scratch);
  Buffer<float> expected(20, 100, Purpose::scratch);
  reference::matmul(x.view().columns(5, 33), weight.view(), expected.view().columns(11, 40));
  matmul(compute(), x.view().columns(5, 33), pack(compute(), weight.view()), y.view().columns(11, 40));
  expect_near(y.view(), expected.view(), kTolerance);  // zeros around the part included
}

TEST_P(Matmul, GradientEqualsReference) {
  for (const int64_t rows : {0, 1, 2, 7, 130, 600}) {
    for (const auto& [k, n] : {std::pair{1, 1}, {17, 33}, {64, 70}, {300, 45}}) {
      SCOPED_TRACE(testing::Message() << "T " << rows << " K " << k << " N " << n);
      const Buffer<float> x = numbers(rows, k);
      const Buffer<float> dy = numbers(rows, n);
      Buffer<float> expected = random_matrix(rng_, n, k);
      Buffer<float> dweight(n, k, Purpose::scratch);
      std::copy(expected.flat().begin(), expected.flat().end(), dweight.data());
      reference::matmul_gradient(x.view(), dy.view(), expected.view());
      matmul_gradient(compute(), x.view(), dy.view(), dweight.view());
      expect_near(dweight.view(), expected.view(), kTolerance);
    }
  }
}

TEST_P(Matmul, GradientOfManyRowsAddsSlabs) {
  const Buffer<float> x = numbers(2100, 20);
  const Buffer<float> dy = numbers(2100, 18);
  Buffer<float> expected(18, 20, Purpose::scratch);
  Buffer<float> dweight(18, 20, Purpose::scratch);
  reference::matmul_gradient(x.view(), dy.view(), expected.view());
  matmul_gradient(compute(2), x.view(), dy.view(), dweight.view());
  expect_near(dweight.view(), expected.view(), 1e-4f);
}

// The promise of matmul.h: whatever the batch, whatever the threads, the same bits.
TEST_P(Matmul, RowsDoNotDependOnTheBatch) {
  const int64_t k = 530;
  const int64_t n = 147;
  const Buffer<float> all = random_matrix(rng_, 300, k);
  const PackedMatrix packed = pack(compute(), random_matrix(rng_, n, k).view());
  Buffer<float> alone(300, n, Purpose::scratch);
  for (int64_t t = 0; t < 300; ++t) {
    matmul(compute(), all.view().rows_from(t, 1), packed, alone.view().rows_from(t, 1));
  }
  for (int round = 0; round < 12; ++round) {
    const int64_t rows = round == 0 ? 300 : 1 + rng_.below(300);
    Buffer<float> batch(rows, k, Purpose::scratch);
    Buffer<float> expected(rows, n, Purpose::scratch);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t t = rng_.below(300);
      std::copy_n(all.row(t), k, batch.row(r));
      std::copy_n(alone.row(t), n, expected.row(r));
    }
    Buffer<float> y(rows, n, Purpose::scratch);
    matmul(compute(1 + round % 3), batch.view(), packed, y.view());
    expect_same_bits(y.view(), expected.view());
  }
}

TEST_P(Matmul, GradientDoesNotDependOnThreads) {
  const Buffer<float> x = random_matrix(rng_, 301, 290);
  const Buffer<float> dy = random_matrix(rng_, 301, 150);
  Buffer<float> one(150, 290, Purpose::scratch);
  matmul_gradient(compute(1), x.view(), dy.view(), one.view());
  for (const int threads : {2, 3}) {
    Buffer<float> many(150, 290, Purpose::scratch);
    matmul_gradient(compute(threads), x.view(), dy.view(), many.view());
    expect_same_bits(many.view(), one.view());
  }
}

// Three layers that read the same x, as one call and as one after the other.
TEST_P(Matmul, ManyAtOnceHaveTheBitsOfOneAfterTheOther) {
  const Compute c = compute(3);
  const Buffer<float> x = random_matrix(rng_, 150, 70);
  const int64_t widths[] = {64, 37, 16};
  std::vector<Buffer<float>> weights, y, y_each, dy, dweight, dweight_each;
  std::vector<PackedMatrix> packed, turned;
  for (const int64_t n : widths) {
    weights.push_back(random_matrix(rng_, n, 70));
    dy.push_back(random_matrix(rng_, 150, n));
    for (auto* outputs : {&y, &y_each}) outputs->emplace_back(150, n, Purpose::scratch);
    for (auto* gradients : {&dweight, &dweight_each}) gradients->emplace_back(n, 70, Purpose::scratch);
    packed.push_back(pack(c, weights.back().view()));
    turned.push_back(pack_transposed(c, weights.back().view()));
  }
  Buffer<float> dx(150, 70, Purpose::scratch), dx_sum(150, 70, Purpose::scratch);
  std::vector<MatmulOutput> outputs;
  std::vector<MatmulGradient> gradients;
  std::vector<MatmulTerm> terms;
  for (size_t i = 0; i < std::size(widths); ++i) {
    matmul(c, x.view(), packed[i], y[i].view());
    matmul_gradient(c, x.view(), dy[i].view(), dweight[i].view());
    matmul(c, dy[i].view(), turned[i], dx.view(), i == 0 ? Write::replace : Write::add);
    outputs.push_back({&packed[i], y_each[i].view()});
    gradients.push_back({dy[i].view(), dweight_each[i].view()});
    terms.push_back({dy[i].view(), &turned[i]});
  }
  matmul_each(c, x.view(), outputs);
  matmul_gradient_each(c, x.view(), gradients);
  matmul_sum(c, terms, dx_sum.view());
  for (size_t i = 0; i < std::size(widths); ++i) {
    expect_same_bits(y_each[i].view(), y[i].view());
    expect_same_bits(dweight_each[i].view(), dweight[i].view());
  }
  expect_same_bits(dx_sum.view(), dx.view());
}

TEST_P(Matmul, PacksLikeTheReference) {
  const Compute here = compute();
  const Compute plain{find_table("reference", cpu_features()), here.pool, here.precision};
  Buffer<float> weight = random_matrix(rng_, 45, 71);
  weight.row(3)[5] = std::numeric_limits<float>::quiet_NaN();
  weight.row(4)[6] = std::numeric_limits<float>::infinity();
  weight.row(5)[7] = 1e-30f;
  const auto same = [&](const PackedMatrix& a, const PackedMatrix& b) {
    ASSERT_EQ(a.inner(), b.inner());
    ASSERT_EQ(a.outputs(), b.outputs());
    const int64_t numbers = a.panels() * round_up(a.inner(), here.precision == Precision::bf16 ? 2 : 1) * 16;
    if (here.precision == Precision::bf16) {
      EXPECT_EQ(0, std::memcmp(a.panel_bf16(0), b.panel_bf16(0), static_cast<size_t>(numbers) * 2));
    } else {
      EXPECT_EQ(0, std::memcmp(a.panel_f32(0), b.panel_f32(0), static_cast<size_t>(numbers) * 4));
    }
  };
  same(pack(here, weight.view()), pack(plain, weight.view()));
  same(pack_transposed(here, weight.view()), pack_transposed(plain, weight.view()));
  for (const auto& [rows, cols] : {std::pair{1, 1}, {2, 17}, {15, 32}, {16, 33}, {17, 31}, {40, 100}}) {
    SCOPED_TRACE(testing::Message() << rows << " x " << cols);
    const Buffer<float> both_ways = random_matrix(rng_, rows, cols);
    PackedMatrix packed, transposed;
    repack(here, both_ways.view(), packed, &transposed);
    same(packed, pack(plain, both_ways.view()));
    same(transposed, pack_transposed(plain, both_ways.view()));
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, Matmul, testing::ValuesIn(table_cases()), name_of_case);

TEST(Table, FindsByName) {
  const CpuFeatures features = cpu_features();
  EXPECT_EQ(find_table("no such table", features), nullptr);
  ASSERT_NE(find_table("portable", features), nullptr);
  EXPECT_EQ(find_table(best_table(features).name, features), &best_table(features));
  EXPECT_EQ(all_tables(CpuFeatures{}).front(), find_table("portable", CpuFeatures{}));
}

}  // namespace
}  // namespace agora::kernels
