#include "agora/base/rng.h"

#include <set>

#include "gtest/gtest.h"

namespace agora {
namespace {

TEST(Rng, IsTheSameOnEveryMachine) {
  // The reference program of O'Neill's paper, seed 42, stream 54: its first three numbers.
  Rng rng(Rng::State{.state = 0, .increment = (54u << 1u) | 1u});
  rng.next_u32();
  Rng::State state = rng.state();
  state.state += 42;
  rng = Rng(state);
  rng.next_u32();
  EXPECT_EQ(rng.next_u32(), 0xa15c02b7u);
  EXPECT_EQ(rng.next_u32(), 0x7b47f409u);
  EXPECT_EQ(rng.next_u32(), 0xba1d3330u);
}

TEST(Rng, GoesOnFromASavedState) {
  Rng rng(7);
  for (int i = 0; i < 10; ++i) rng.normal();
  Rng resumed(rng.state());
  for (int i = 0; i < 10; ++i) EXPECT_EQ(resumed.next_u64(), rng.next_u64());
}

TEST(Rng, ForksAreStreamsOfTheirOwn) {
  const Rng rng(7);
  std::set<uint64_t> firsts{Rng(rng).next_u64()};
  for (const char* name : {"gate", "data", "weights"}) firsts.insert(rng.fork(name).next_u64());
  for (uint64_t number : {0, 1, 2}) firsts.insert(rng.fork(number).next_u64());
  EXPECT_EQ(firsts.size(), 7u);
  EXPECT_EQ(rng.fork("gate").state(), rng.fork("gate").state());
}

TEST(Rng, NumbersStayInTheirRanges) {
  Rng rng(3);
  double sum = 0;
  double squares = 0;
  for (int i = 0; i < 20000; ++i) {
    EXPECT_LT(rng.below(7), 7u);
    const float u = rng.uniform();
    EXPECT_TRUE(u >= 0.0f && u < 1.0f);
    const float z = rng.normal();
    sum += z;
    squares += z * z;
  }
  EXPECT_NEAR(sum / 20000, 0.0, 0.03);
  EXPECT_NEAR(squares / 20000, 1.0, 0.05);
}

}  // namespace
}  // namespace agora
