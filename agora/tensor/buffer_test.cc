#include "agora/tensor/buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace agora::tensor {
namespace {

TEST(Buffer, IsZeroAlignedAndCounted) {
  const int64_t before = memory_count().bytes[static_cast<size_t>(Purpose::gradient)];
  {
    const Buffer<float> buffer(3, 100, Purpose::gradient);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0u);
    for (const float x : buffer.flat()) EXPECT_EQ(x, 0.0f);
    EXPECT_EQ(memory_count().bytes[static_cast<size_t>(Purpose::gradient)], before + 1200);
  }
  EXPECT_EQ(memory_count().bytes[static_cast<size_t>(Purpose::gradient)], before);
}

TEST(Buffer, IsZeroAlsoInMemoryThatWasUsedBefore) {
  constexpr int64_t kNumbers = int64_t{1} << 20;  // 4 MiB: a block that is kept for reuse
  for (int round = 0; round < 3; ++round) {
    Buffer<float> buffer(1, kNumbers, Purpose::scratch);
    for (const float x : buffer.flat()) ASSERT_EQ(x, 0.0f);
    std::ranges::fill(buffer.flat(), 7.0f);
  }
}

TEST(Buffer, MiddleBlocksDoNotOverlapAndAreUsedAgain) {
  std::vector<Buffer<float>> held;
  uint32_t random = 1;
  for (int round = 0; round < 3000; ++round) {
    random = random * 1664525u + 1013904223u;
    const int64_t numbers = 16'000 + (random >> 8) % 400'000;  // 64 KiB .. 1.6 MiB
    held.push_back(Buffer<float>::uninitialised(1, numbers, Purpose::scratch));
    ASSERT_EQ(reinterpret_cast<uintptr_t>(held.back().data()) % 64, 0u);
    held.back().flat().front() = held.back().flat().back() = static_cast<float>(round);
    if (held.size() > 40) held.erase(held.begin() + random % 40);
    for (const Buffer<float>& buffer : held) ASSERT_EQ(buffer.flat().front(), buffer.flat().back());
  }
}

TEST(Buffer, BlocksOfManySizesDoNotOverlap) {
  std::vector<Buffer<float>> held;
  for (int round = 0; round < 60; ++round) {
    const int64_t numbers = (int64_t{1} << 19) + 40'000 * (round % 7);
    held.push_back(Buffer<float>::uninitialised(1, numbers, Purpose::scratch));
    std::ranges::fill(held.back().flat(), static_cast<float>(round));
    if (held.size() > 5) held.erase(held.begin() + round % 5);
    for (const Buffer<float>& buffer : held) {
      ASSERT_EQ(buffer.flat().front(), buffer.flat().back());
    }
  }
}

TEST(View, PartsShareTheRows) {
  Buffer<float> buffer(4, 6, Purpose::scratch);
  const View<float> part = buffer.view().rows_from(1, 2).columns(2, 3);
  part.row(1)[2] = 5.0f;
  EXPECT_EQ(buffer.row(2)[4], 5.0f);
  EXPECT_EQ(part.size(), 6);
  EXPECT_FALSE(part.dense());
}

}  // namespace
}  // namespace agora::tensor
