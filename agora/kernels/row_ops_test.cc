#include "agora/kernels/row_ops.h"

#include <vector>

#include "agora/kernels/adamw_step.h"
#include "agora/kernels/reference/row_ops.h"
#include "agora/kernels/test_numbers.h"
#include <gtest/gtest.h>

namespace agora::kernels {
namespace {

std::vector<float> random_numbers(Rng& rng, int64_t n) {
  std::vector<float> result(static_cast<size_t>(n));
  for (float& x : result) x = rng.normal();
  return result;
}

View<const float> as_row(std::span<const float> x) { return {x.data(), 1, static_cast<int64_t>(x.size())}; }

TEST(RmsNorm, EqualsReferenceOnOddSizes) {
  for_each_target([] {
    base::ThreadPool pool(2);
    const Compute compute{.pool = &pool};
    Rng rng(1);
    for (const int64_t width : {1, 3, 16, 31, 64, 257}) {
      for (const int64_t rows : {0, 1, 5, 700}) {
        const Buffer<float> x = random_matrix(rng, rows, width), dy = random_matrix(rng, rows, width);
        const std::vector<float> gain = random_numbers(rng, width);
        std::vector<float> inverse(static_cast<size_t>(rows)), inverse_plain(inverse);
        Buffer<float> y(rows, width, Purpose::scratch), y_plain(rows, width, Purpose::scratch);
        rms_norm_forward(compute, x.view(), gain, 1e-5f, y.view(), inverse);
        reference::rms_norm_forward(x.view(), gain, 1e-5f, y_plain.view(), inverse_plain);
        expect_near(y.view(), y_plain.view(), 1e-5f);
        expect_near(as_row(inverse), as_row(inverse_plain), 1e-5f);

        Buffer<float> dx = random_matrix(rng, rows, width), dx_plain(rows, width, Purpose::scratch);
        std::copy_n(dx.data(), dx.size(), dx_plain.data());
        std::vector<float> dgain = random_numbers(rng, width), dgain_plain = dgain;
        rms_norm_backward(compute, x.view(), gain, inverse, dy.view(), dx.view(), Write::add, dgain);
        reference::rms_norm_backward(x.view(), gain, 1e-5f, dy.view(), dx_plain.view(), dgain_plain);
        expect_near(dx.view(), dx_plain.view(), 2e-5f);
        expect_near(as_row(dgain), as_row(dgain_plain), 1e-4f);
      }
    }
  });
}

TEST(RmsNorm, InPlaceAndAnyThreadsSameBits) {
  base::ThreadPool one(1), three(3);
  const Compute alone{.pool = &one}, shared{.pool = &three};
  Rng rng(2);
  const Buffer<float> x = random_matrix(rng, 999, 48), dy = random_matrix(rng, 999, 48);
  const std::vector<float> gain = random_numbers(rng, 48);
  Buffer<float> y(999, 48, Purpose::scratch), in_place(999, 48, Purpose::scratch);
  std::vector<float> inverse(999), dgain(48), dgain_in_place(48);
  rms_norm_forward(alone, x.view(), gain, 1e-6f, y.view(), inverse);
  std::copy_n(x.data(), x.size(), in_place.data());
  rms_norm_forward(shared, in_place.view(), gain, 1e-6f, in_place.view(), {});
  expect_same_bits(in_place.view(), y.view());
  Buffer<float> dx(999, 48, Purpose::scratch);
  rms_norm_backward(alone, x.view(), gain, inverse, dy.view(), dx.view(), Write::replace, dgain);
  std::copy_n(dy.data(), dy.size(), in_place.data());
  rms_norm_backward(shared, x.view(), gain, inverse, in_place.view(), in_place.view(), Write::replace,
                    dgain_in_place);
  expect_same_bits(in_place.view(), dx.view());
  expect_same_bits(as_row(dgain_in_place), as_row(dgain));
}

TEST(Rope, EqualsReferenceAndTurnsBack) {
  for_each_target([] {
    base::ThreadPool pool(2);
    const Compute compute{.pool = &pool};
    Rng rng(3);
    for (const int64_t width : {2, 6, 32, 64, 100}) {
      const int64_t heads = 3, rows = 71;
      std::vector<int32_t> positions(static_cast<size_t>(rows));
      for (int32_t& p : positions) p = static_cast<int32_t>(rng.below(200000));
      positions[0] = 0;
      const Buffer<float> x = random_matrix(rng, rows, heads * width);
      Buffer<float> fast(rows, heads * width, Purpose::scratch), plain(rows, heads * width, Purpose::scratch);
      std::copy_n(x.data(), x.size(), fast.data());
      std::copy_n(x.data(), x.size(), plain.data());
      rope(compute, fast.view(), heads, positions, 10000.0f, 1);
      reference::rope(plain.view(), heads, positions, 10000.0f, 1);
      expect_near(fast.view(), plain.view(), 2e-6f);
      rope(compute, fast.view(), heads, positions, 10000.0f, -1);
      expect_near(fast.view(), x.view(), 2e-6f);
    }
  });
}

TEST(Embedding, RepeatedIdsAddInOrder) {
  base::ThreadPool one(1), three(3);
  Rng rng(4);
  const int64_t width = 133;
  const Buffer<float> table = random_matrix(rng, 9, width);
  std::vector<int32_t> ids(200);
  for (int32_t& id : ids) id = static_cast<int32_t>(rng.below(9));
  Buffer<float> y(200, width, Purpose::scratch);
  embedding_forward(Compute{.pool = &three}, table.view(), ids, y.view());
  Buffer<float> plain(9, width, Purpose::scratch), fast(9, width, Purpose::scratch);
  for (size_t t = 0; t < ids.size(); ++t) {
    for (int64_t d = 0; d < width; ++d) {
      EXPECT_EQ(y.row(static_cast<int64_t>(t))[d], table.row(ids[t])[d]);
      plain.row(ids[t])[d] += y.row(static_cast<int64_t>(t))[d];
    }
  }
  embedding_backward(Compute{.pool = &three}, y.view(), ids, fast.view());
  expect_same_bits(fast.view(), plain.view());
}

TEST(Sums, AddAndBias) {
  for_each_target([] {
    base::ThreadPool one(1), three(3);
    Rng rng(5);
    for (const int64_t width : {1, 17, 300}) {
      const Buffer<float> x = random_matrix(rng, 500, width);
      Buffer<float> y = random_matrix(rng, 500, width), expected(500, width, Purpose::scratch);
      const std::vector<float> bias = random_numbers(rng, width);
      for (int64_t t = 0; t < 500; ++t) {
        for (int64_t d = 0; d < width; ++d)
          expected.row(t)[d] = y.row(t)[d] + x.row(t)[d] + bias[static_cast<size_t>(d)];
      }
      add(Compute{.pool = &three}, x.view(), y.view());
      add_bias(Compute{.pool = &three}, bias, y.view());
      expect_same_bits(y.view(), expected.view());

      std::vector<float> sums(static_cast<size_t>(width)), sums_shared(sums), plain(sums);
      add_bias_backward(Compute{.pool = &one}, y.view(), sums);
      add_bias_backward(Compute{.pool = &three}, y.view(), sums_shared);
      expect_same_bits(as_row(sums), as_row(sums_shared));
      for (int64_t t = 0; t < 500; ++t) {
        for (int64_t d = 0; d < width; ++d) plain[static_cast<size_t>(d)] += y.row(t)[d];
      }
      expect_near(as_row(sums), as_row(plain), 1e-4f);
    }
  });
}

TEST(AdamWStep, EqualsReferenceAndSameBitsForAnyThreads) {
  for_each_target([] {
    base::ThreadPool one(1), three(3);
    Rng rng(6);
    const AdamWSettings settings{.learning_rate = 0.01f, .gradient_scale = 0.5f};
    for (const int64_t n : {0, 1, 31, 16384, 40001}) {
      std::vector<float> w = random_numbers(rng, n), m(w.size()), v(w.size());
      std::vector<float> w3 = w, m3 = m, v3 = v, w_plain = w, m_plain = m, v_plain = v;
      for (int64_t step = 1; step <= 3; ++step) {
        const std::vector<float> g = random_numbers(rng, n);
        adamw_step(Compute{.pool = &one}, settings, step, w, g, m, v);
        adamw_step(Compute{.pool = &three}, settings, step, w3, g, m3, v3);
        reference::adamw_step(settings, step, w_plain, g, m_plain, v_plain);
      }
      expect_same_bits(as_row(w), as_row(w3));
      expect_near(as_row(w), as_row(w_plain), 1e-6f);
      expect_near(as_row(v), as_row(v_plain), 1e-6f);
    }
  });
}

TEST(SumOfSquares, ExactInF64AndSameForAnyThreads) {
  for_each_target([] {
    base::ThreadPool one(1), three(3);
    Rng rng(7);
    const std::vector<float> x = random_numbers(rng, 100003);
    double plain = 0;
    for (const float v : x) plain += double{v} * v;
    const double sum = sum_of_squares(Compute{.pool = &one}, x);
    EXPECT_NEAR(sum, plain, 1e-9 * plain);
    EXPECT_EQ(sum, sum_of_squares(Compute{.pool = &three}, x));
    EXPECT_EQ(sum_of_squares(Compute{.pool = &one}, {}), 0.0);
    const std::vector<float> large(100, 3e38f), broken = {1.0f, NAN};
    EXPECT_TRUE(std::isfinite(sum_of_squares(Compute{.pool = &one}, large)));
    EXPECT_TRUE(std::isnan(sum_of_squares(Compute{.pool = &one}, broken)));
  });
}

}  // namespace
}  // namespace agora::kernels
