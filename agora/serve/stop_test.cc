#include "agora/serve/stop.h"

#include <gtest/gtest.h>

namespace agora::serve {
namespace {

TEST(StopWatcher, StopsAcrossPieces) {
  StopWatcher stops({"END"});
  EXPECT_EQ(stops.push("abcE"), "abc");
  EXPECT_EQ(stops.push("N"), "");
  EXPECT_EQ(stops.push("D more"), "");
  EXPECT_TRUE(stops.stopped());
  EXPECT_EQ(stops.finish(), "");
}

TEST(StopWatcher, GivesBackWhatWasNoStop) {
  StopWatcher stops({"END"});
  EXPECT_EQ(stops.push("E"), "");
  EXPECT_EQ(stops.push("x"), "Ex");
  EXPECT_EQ(stops.push("EN"), "");
  EXPECT_EQ(stops.finish(), "EN");
  EXPECT_FALSE(stops.stopped());
}

TEST(StopWatcher, TheFirstOfSeveralWins) {
  StopWatcher stops({"", "two", "one"});
  EXPECT_EQ(stops.push("a one b two"), "a ");
}

}  // namespace
}  // namespace agora::serve
