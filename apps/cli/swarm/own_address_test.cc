#include "apps/cli/swarm/own_address.h"

#include <gtest/gtest.h>

namespace agora::cli {
namespace {

TEST(OwnAddress, IsTheOneThatLeadsToAPeer) {
  EXPECT_EQ(own_address({"127.0.0.1", 4700}), "127.0.0.1");
  EXPECT_FALSE(is_wildcard(own_address({})));
  EXPECT_EQ(own_address({"no.such.name.invalid", 1}), "127.0.0.1");
}

TEST(OwnAddress, AListenerMayLeaveThePortOpen) {
  EXPECT_EQ(parse_listen("--listen", "127.0.0.1:0")->port, 0);
  EXPECT_EQ(parse_listen("--listen", "[::1]:0")->host, "::1");
  EXPECT_EQ(parse_listen("--listen", "127.0.0.1:4710")->port, 4710);
  EXPECT_FALSE(parse_listen("--listen", "127.0.0.1").ok());
  EXPECT_FALSE(parse_listen("--listen", ":0").ok());
}

}  // namespace
}  // namespace agora::cli
