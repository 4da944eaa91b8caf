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

TEST(PeerStatus, CountsTheExpertsOfAHost) {
  swarm::PeerState state = host().state;
  state.held.push_back({.layer = LayerId{2}, .first = 0, .count = 4, .leads = false});
  EXPECT_EQ(count_experts(state).led, 3);
  EXPECT_EQ(count_experts(state).held, 7);
  EXPECT_EQ(count_experts({}).held, 0);
}

TEST(PeerStatus, HoldingsAreNoMoreThanAPeerMayHave) {
  const auto refused = [](const nlohmann::ordered_json& held) {
    PeerStatus status;
    status.self = host();
    nlohmann::ordered_json json = status_json(status);
    nlohmann::ordered_json ranges = nlohmann::ordered_json::array();
    for (const auto& changes : held) {
      ranges.push_back(json["self"]["held"][0]);
      ranges.back().update(changes);
    }
    json["self"]["held"] = ranges;
    return std::string(read_status(json.dump()).status().message());
  };
  EXPECT_EQ(refused({{{"first", 0}}, {{"first", 3}}, {{"layer", 2}, {"first", 0}}}), "");
  EXPECT_THAT(refused({{{"first", INT32_MAX}}}), HasSubstr("first: expected a whole number"));
  EXPECT_THAT(refused({{{"first", -1}}}), HasSubstr("first: expected a whole number"));
  EXPECT_THAT(refused({{{"layer", 1e300}}}), HasSubstr("layer: expected a whole number"));
  EXPECT_THAT(refused({{{"count", int64_t{1} << 32}}}), HasSubstr("count: expected a whole number"));
  EXPECT_THAT(refused({{{"count", 0}}}), HasSubstr("ascend"));
  EXPECT_THAT(refused({{{"first", swarm::kExpertNumberMax}}}), HasSubstr("ascend"));
  EXPECT_THAT(refused({{{"first", 0}}, {{"first", 2}}}), HasSubstr("ascend"));
  EXPECT_THAT(refused({{{"layer", 2}}, {{"layer", 1}}}), HasSubstr("ascend"));
  EXPECT_THAT(refused({{{"count", kExpertsHeldMax + 1}}}), HasSubstr("at most 65536 experts"));
  // A stranger who exaggerates does not make the honest peer that knows of it a liar.
  PeerStatus status;
  status.self = host();
  status.known = {host()};
  status.known[0].state.held[0].count = kExpertsHeldMax + 1;
  EXPECT_TRUE(read_status(status_json(status).dump()).ok());
}

TEST(PeerStatus, NamesRoles) {
  EXPECT_EQ(roles_text({}), "peer");
  EXPECT_EQ(roles_text({.host = true, .trainer = true}), "host+trainer");
}

}  // namespace
}  // namespace agora::dashboard
