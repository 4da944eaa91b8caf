#include "agora/peers/endpoint.h"

#include <gtest/gtest.h>

namespace agora::peers {
namespace {

TEST(Endpoint, ReadsWhatItWrites) {
  for (const Endpoint& endpoint : {Endpoint{"192.168.1.5", 4700}, Endpoint{"fe80::1%eth0", 1},
                                   Endpoint{"::1", 65535}, Endpoint{"my-host.lan", 80}}) {
    const StatusOr<Endpoint> again = parse_endpoint(endpoint.text());
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(*again, endpoint);
  }
  EXPECT_EQ((Endpoint{"::1", 7}).text(), "[::1]:7");
}

TEST(Endpoint, RefusesWhatIsNone) {
  for (const char* text : {"", ":", "host", "host:", ":80", "host:0", "host:65536", "host:-1", "host:8o",
                           "::1:7", "[]:7", "[::1]", "[::1]7", "a b:7", "a/b:7", "host:80 ", "host:+80"}) {
    EXPECT_EQ(parse_endpoint(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  EXPECT_FALSE(parse_endpoint(std::string(300, 'a') + ":7").ok());
}

TEST(Endpoint, TellsAddressesFromNames) {
  for (const char* host : {"192.168.1.5", "::1", "2001:db8::1", "fe80::1%eth0", "::ffff:10.0.0.1"}) {
    EXPECT_TRUE(is_address(host)) << host;
  }
  for (const char* host : {"", "localhost", "unix", "dns", "ipv4", "10.0.0", "10.0.0.1%lo", "1", "a.b",
                           "::1%a b", "[::1]", "fe80", "10.0.0.256"}) {
    EXPECT_FALSE(is_address(host)) << host;
  }
}

}  // namespace
}  // namespace agora::peers
