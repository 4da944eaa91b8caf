#include "agora/kernels/cpu/amx_loop.h"

#include <cmath>

#include "agora/kernels/product.h"
#include "agora/kernels/reference/table.h"
#include "agora/kernels/test_numbers.h"
#include <gtest/gtest.h>
#ifdef __x86_64__
#include "agora/kernels/cpu/pack_avx512.h"
#endif

namespace agora::kernels::cpu {
namespace {

// What AMX does, in plain code: eight tiles of 16 rows of 64 bytes.
class EmulatedTiles {
 public:
  void begin() { std::memset(tiles_, 0, sizeof(tiles_)); }
  void end() { begin(); }
  void written() {}

  template <int N>
  void zero() {
    std::memset(tiles_[N], 0, sizeof(tiles_[N]));
  }
  template <int N>
  void load(const void* at, int64_t row_bytes) {
    for (int64_t r = 0; r < 16; ++r)
      std::memcpy(tiles_[N][r], static_cast<const char*>(at) + r * row_bytes, 64);
  }
  template <int N>
  void store(void* at, int64_t row_bytes) {
    for (int64_t r = 0; r < 16; ++r) std::memcpy(static_cast<char*>(at) + r * row_bytes, tiles_[N][r], 64);
  }
  // TDPBF16PS as Intel's manual has it: the even and the odd products are sums of their own, from 0; both
  // together are added to C.
  template <int C, int A, int B>
  void multiply() {
    for (int r = 0; r < 16; ++r) {
      for (int n = 0; n < 16; ++n) {
        float sums[2] = {0.0f, 0.0f};
        for (int s = 0; s < 16; ++s) {
          for (int i = 0; i < 2; ++i) {
            sums[i] = std::fma(tensor::to_float(number<bf16>(A, r, 2 * s + i)),
                               tensor::to_float(number<bf16>(B, s, 2 * n + i)), sums[i]);
          }
        }
        const float sum = number<float>(C, r, n) + (sums[0] + sums[1]);
        std::memcpy(tiles_[C][r] + 4 * n, &sum, 4);
      }
    }
  }
  void transpose(const bf16* in, bf16* out, int64_t out_row) {
    for (int64_t r = 0; r < 16; ++r) {
      for (int64_t c = 0; c < 16; ++c) std::memcpy(out + c * out_row + 2 * r, in + r * 32 + 2 * c, 4);
    }
  }

 private:
  template <class T>
  T number(int tile, int row, int column) const {
    T result;
    std::memcpy(&result, tiles_[tile][row] + sizeof(T) * static_cast<size_t>(column), sizeof(T));
    return result;
  }
  char tiles_[8][16][64];
};

std::vector<bf16> random_numbers(Rng& rng, int64_t count) {
  std::vector<bf16> result(static_cast<size_t>(count));
  for (bf16& x : result) x = tensor::to_bf16(rng.normal());
  return result;
}

// The emulated loop against the plain product of the reference table, C included where it is added to.
void expect_equal_products(Block<bf16> block, Rng& rng) {
  const int64_t width = block.panels * kPanelWidth;
  Buffer<float> expected = random_matrix(rng, block.rows + 1, width + 3);
  Buffer<float> c(block.rows + 1, width + 3, Purpose::scratch);
  std::copy_n(expected.data(), expected.size(), c.data());
  block.c_row = width + 3;
  block.c = expected.data();
  reference::table().bf16_loops.product(block);
  block.c = c.data();
  EmulatedTiles tiles;
  product_on_tiles(block, tiles);
  expect_near(c.view(), expected.view(), 1e-4f);  // what lies around C included
}

TEST(AmxLoop, RowsEqualReference) {
  Rng rng(3);
  for (const int64_t rows : {1, 2, 5, 15, 16, 17, 32, 33, 64, 130}) {
    for (const int64_t panels : {1, 2, 3, 4, 7}) {
      for (const int64_t steps : {0, 1, 15, 16, 33, 300}) {
        for (const bool add : {false, true}) {
          SCOPED_TRACE(testing::Message()
                       << rows << " rows " << panels << " panels " << steps << " steps " << add);
          Block<bf16> block;
          const std::vector<bf16> a = random_numbers(rng, rows * (2 * steps + 4));
          const std::vector<bf16> b = random_numbers(rng, panels * (steps * 32 + 32));
          block.set_rows(a.data(), 2 * steps + 4);
          block.b = b.data();
          block.b_panel = steps * 32 + 32;
          block.rows = rows;
          block.panels = panels;
          block.steps = steps;
          block.add = add;
          if (panels <= 4) block.next_b = b.data();
          expect_equal_products(block, rng);
        }
      }
    }
  }
}

TEST(AmxLoop, PanelsEqualReference) {
  Rng rng(4);
  for (const int64_t rows : {1, 7, 16, 20, 32, 45, 64}) {
    for (const int64_t steps : {1, 16, 31, 270}) {
      SCOPED_TRACE(testing::Message() << rows << " rows " << steps << " steps");
      const int64_t panel = steps * 32;
      const std::vector<bf16> a = random_numbers(rng, (rows + 15) / 16 * 2 * panel);
      const std::vector<bf16> b = random_numbers(rng, 3 * panel);
      std::vector<float> next(static_cast<size_t>(64 * rows));
      Block<bf16> block;
      block.set_panels(a.data(), 2 * panel);  // every second panel, as gate and up stand in turn
      block.b = b.data();
      block.b_panel = panel;
      block.rows = rows;
      block.panels = 3;
      block.steps = steps;
      block.add = true;
      block.next_rows = next_rows_of(next.data(), 64, 64);
      expect_equal_products(block, rng);
    }
  }
}

TEST(AmxLoop, RowsDoNotDependOnOtherRows) {
  Rng rng(5);
  constexpr int64_t kRows = 70;
  constexpr int64_t kSteps = 37;
  const std::vector<bf16> a = random_numbers(rng, kRows * kSteps * 2);
  const std::vector<bf16> b = random_numbers(rng, 3 * kSteps * 32);
  const auto product = [&](int64_t row, int64_t rows) {
    Buffer<float> c(rows, 48, Purpose::scratch);
    Block<bf16> block;
    block.set_rows(a.data() + row * kSteps * 2, kSteps * 2);
    block.b = b.data();
    block.b_panel = kSteps * 32;
    block.c = c.data();
    block.c_row = 48;
    block.rows = rows;
    block.panels = 3;
    block.steps = kSteps;
    EmulatedTiles tiles;
    product_on_tiles(block, tiles);
    return c;
  };
  const Buffer<float> all = product(0, kRows);
  for (int64_t row = 0; row < kRows; ++row) {
    expect_same_bits(product(row, 1).view(), all.view().rows_from(row, 1));
  }
}

void product_on_emulated_tiles(const Block<bf16>& block) {
  EmulatedTiles tiles;
  product_on_tiles(block, tiles);
}

// Many rows take the steps in blocks, few take all at once: the same bits, wherever the blocks end.
TEST(AmxLoop, RowsDoNotDependOnTheCutOfTheSteps) {
  Rng rng(7);
  constexpr int64_t kRows = kFewRows + 1;
  constexpr int64_t kPanels = 3;
  Loops<bf16> loops = reference::table().bf16_loops;
  loops.product = &product_on_emulated_tiles;
  for (const int64_t steps : {16, 256, 257, 265, 512, 704, 2432}) {  // K = 530, 1408, 4864 are among them
    SCOPED_TRACE(testing::Message() << steps << " steps");
    const std::vector<bf16> a = random_numbers(rng, kRows * steps * 2);
    const std::vector<bf16> b = random_numbers(rng, kPanels * steps * 32);
    const auto product = [&](int64_t row, int64_t rows) {
      Buffer<float> c(rows, kPanels * kPanelWidth, Purpose::scratch);
      product_tiles(loops, rows_of(a.data() + row * steps * 2, steps * 2, rows),
                    PanelsOf<bf16>{b.data(), steps * 32, steps}, 0, kPanels, RowsOf<float>{},
                    [&](int64_t, int64_t, const float* tile) {
                      for (int64_t r = 0; r < rows; ++r)
                        std::copy_n(tile + r * kTileWidth, c.cols(), c.row(r));
                    });
      return c;
    };
    const Buffer<float> all = product(0, kRows);
    for (int64_t row = 0; row < kRows; ++row) {
      expect_same_bits(product(row, 1).view(), all.view().rows_from(row, 1));
    }
  }
}

#ifdef __x86_64__
TEST(TransposeWords, ChangesRowsForColumns) {
  if (!cpu_features().avx512_bf16) GTEST_SKIP() << "no AVX-512 here";
  Rng rng(6);
  const std::vector<bf16> in = random_numbers(rng, 512);
  std::vector<bf16> out(16 * 40);
  std::vector<bf16> expected(16 * 40);
  transpose_words(in.data(), out.data(), 40);
  EmulatedTiles().transpose(in.data(), expected.data(), 40);
  EXPECT_EQ(0, std::memcmp(out.data(), expected.data(), out.size() * sizeof(bf16)));
}
#endif

}  // namespace
}  // namespace agora::kernels::cpu
