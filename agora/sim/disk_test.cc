#include "agora/sim/disk.h"

#include <gtest/gtest.h>

namespace agora::sim {
namespace {

TEST(SimDisk, KeepsFilesAndListsThem) {
  SimDisk disk(Rng(1));
  EXPECT_TRUE(disk.write("a", "2", base::as_bytes("two")).ok());
  EXPECT_TRUE(disk.write("a", "1", base::as_bytes("one")).ok());
  EXPECT_TRUE(disk.write("ab", "3", base::as_bytes("three")).ok());
  EXPECT_EQ(disk.list("a", 10), (std::vector<std::string>{"1", "2"}));
  EXPECT_EQ(*disk.read("a/2", 3), "two");
  EXPECT_FALSE(disk.read("a/2", 2).ok());
  disk.remove("a/2");
  EXPECT_TRUE(absl::IsNotFound(disk.read("a/2", 9).status()));
}

TEST(SimDisk, FailsAsItIsTold) {
  SimDisk disk(Rng(1));
  const std::string content(1000, 'x');
  EXPECT_TRUE(disk.write("a", "1", base::as_bytes(content)).ok());
  disk.faults = {.full = true, .flip_ppm = 1'000'000, .torn_ppm = 1'000'000};
  EXPECT_TRUE(absl::IsResourceExhausted(disk.write("a", "2", base::as_bytes(content))));
  const std::string flipped = *disk.read("a/1", 1000);
  EXPECT_NE(flipped, content);
  EXPECT_EQ(flipped.size(), content.size());
  disk.power_off();
  EXPECT_LT(disk.read("a/1", 1000)->size(), content.size());
  EXPECT_EQ(disk.counters().torn, 1u);
}

}  // namespace
}  // namespace agora::sim
