#include "apps/cli/swarm/own_address.h"

#include <string>

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

TEST(OwnAddress, WhatIsAdvertisedIsAnAddress) {
  EXPECT_EQ(parse_advertised("203.0.113.7:4700")->host, "203.0.113.7");
  EXPECT_EQ(parse_advertised("[2001:db8::7]:4700")->host, "2001:db8::7");
  for (const char* text : {"home.example.org:4700", "unix:4700", "203.0.113.7", ":4700"}) {
    const Status refused = parse_advertised(text).status();
    EXPECT_TRUE(absl::IsInvalidArgument(refused)) << text;
    EXPECT_TRUE(std::string(refused.message()).starts_with("--advertise: expected")) << refused;
  }
}

}  // namespace
}  // namespace agora::cli
