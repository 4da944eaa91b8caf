#include "apps/dashboard/peer_status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agora::dashboard {
namespace {

using ::testing::HasSubstr;

PeerEntry host() {
  PeerEntry entry;
  entry.peer.bytes[0] = std::byte{7};
  entry.at = {"127.0.0.1", 4700};
  entry.state.host = true;
  entry.state.held = {
      {.layer = LayerId{1}, .first = 2, .count = 3, .leads = true, .version = 9, .loads = {8, 9, 10}}};
  entry.state.room = 4;
  entry.state.rows_per_s = 12.5f;
  entry.state.http_port = 8080;
  return entry;
}

TEST(PeerStatus, TravelsAsJson) {
  PeerStatus status;
  status.self = host();
  status.swarm = "words";
  status.swarm_id = "ab";
  status.pid = 42;
  status.uptime_s = 1.5;
  status.metrics = {{"agora_step", 3}};
  status.known = {host(), host()};
  const auto read = read_status(status_json(status).dump());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->self.peer, status.self.peer);
  EXPECT_EQ(read->self.at, status.self.at);
  EXPECT_EQ(read->self.state, status.self.state);
  EXPECT_EQ(read->swarm, "words");
  EXPECT_EQ(read->pid, 42);
  EXPECT_EQ(read->metric("agora_step"), 3);
  EXPECT_EQ(read->metric("nothing"), 0);
  EXPECT_EQ(read->known.size(), 2u);
}

TEST(PeerStatus, ForeignBytesAreRefused) {
  PeerStatus status;
  status.self = host();
  nlohmann::ordered_json json = status_json(status);
  const std::string good = json.dump();
  for (size_t size = 0; size < good.size(); size += 7) EXPECT_FALSE(read_status(good.substr(0, size)).ok());
  json["self"]["peer"] = "nobody";
  EXPECT_FALSE(read_status(json.dump()).ok());
  json["self"] = nlohmann::json::array();
  EXPECT_THAT(std::string(read_status(json.dump()).status().message()), HasSubstr("status"));
}

TEST(PeerStatus, NamesRoles) {
  EXPECT_EQ(roles_text({}), "peer");
  EXPECT_EQ(roles_text({.host = true, .trainer = true}), "host+trainer");
}

}  // namespace
}  // namespace agora::dashboard
