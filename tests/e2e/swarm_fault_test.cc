// A swarm of real processes against a hostile world: strangers at the door, a full disk, a split network.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "absl/strings/str_cat.h"
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "tests/e2e/swarm_harness.h"

namespace agora::e2e {
namespace {

using nlohmann::json;

constexpr int64_t kSomeSteps = 300;  // of a small model, which takes milliseconds for each
constexpr size_t kLoud = 200;
constexpr rlim_t kDescriptorsKept = 64 + kLoud;  // for everything but idle strangers

uint16_t port_of(const std::string& at) {
  return static_cast<uint16_t>(std::stoi(at.substr(at.rfind(':') + 1)));
}

// A connection to 127.0.0.1; -1: refused.
int connect_to(uint16_t port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(socket, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0) return socket;
  close(socket);
  return -1;
}

class Strangers {
 public:
  ~Strangers() {
    for (const int socket : sockets_) close(socket);
  }
  // As many of `count` as the system and the peer allow; how many there are then.
  size_t come(uint16_t port, size_t count) {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    while (sockets_.size() < std::min<size_t>(count, limit.rlim_cur - kDescriptorsKept)) {
      const int socket = connect_to(port);
      if (socket < 0) break;
      sockets_.push_back(socket);
    }
    return sockets_.size();
  }
  void babble() {
    std::minstd_rand random(7);
    for (const int socket : sockets_) {
      char bytes[512];
      for (char& byte : bytes) byte = static_cast<char>(random());
      send(socket, bytes, sizeof bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
  }

 private:
  std::vector<int> sockets_;
};

TEST(SwarmFaults, StrangersAtTheDoorKeepNobodyFromWork) {
  SwarmUnderTest swarm({.hosts = 2});
  swarm.wait_until_training();
  constexpr size_t kIdle = 5000;
  Strangers idle, loud;
  const size_t loud_ones = loud.come(port_of(swarm.at("host 2")), kLoud);
  const size_t idle_ones = idle.come(port_of(swarm.at("host 1")), kIdle);
  EXPECT_EQ(loud_ones, kLoud);
  EXPECT_GT(idle_ones, 500u) << "too few files may be open, or the host lets nobody in";
  loud.babble();
  measured(absl::StrCat(idle_ones,
                        " idle connections and random bytes, until the trainer has made 300 more steps"),
           swarm.wait_for_steps("trainer 1", kSomeSteps));
  EXPECT_EQ(swarm.running().size(), 4u);
  EXPECT_TRUE(swarm.ask_json({"peers"}).is_array());
}

// A host's numbers as `agora peers` tells them; empty: it is not known yet.
json metrics_of(const SwarmUnderTest& swarm, const std::string& peer) {
  const json peers = swarm.ask_json({"peers"});
  for (const json& entry : peers.is_array() ? peers : json::array()) {
    if (entry.at("self").at("peer") == peer) return entry.at("metrics");
  }
  return json::object();
}

// A server has its trunk: another trainer begins from that, not anew.
TEST(SwarmFaults, WhatTheOnlyTrainerLearnedOutlivesIt) {
  SwarmUnderTest swarm({.hosts = 2});
  swarm.wait_until_training();
  constexpr uint64_t kRounds = 10;
  swarm.wait_until("the server has a trunk of some rounds", [&] {
    const json peers = swarm.ask_json({"peers"});
    return std::ranges::any_of(peers, [](const json& peer) {
      const json& self = peer.at("self");
      return self.at("roles").at("server") == true && self.at("trunk_version") >= kRounds;
    });
  });
  swarm.signal("trainer 1", SIGKILL);
  const base::TestFolder scratch;
  Process next = Process::start({"train", "--join", swarm.at("server 1"), "--listen", "127.0.0.1:0",
                                 "--state", scratch.path("state"), "--data", swarm.data(), "--json"},
                                scratch);
  ASSERT_TRUE(next.wait_for_output("\"event\":\"step\"")) << next.errors();
  const std::string out = next.output();
  const size_t begin = out.find("{\"event\":\"step\"");
  const json first = json::parse(out.substr(begin, out.find('\n', begin) - begin), nullptr, false);
  EXPECT_GE(first.at("trunk_round"), kRounds);
  EXPECT_EQ(swarm.ask("apple", {"--tokens", "5"}).exit_code, 0);
  next.interrupt();
  EXPECT_EQ(next.finish().exit_code, 0) << next.errors();
}

// Files end at 16 KiB: the log and what it prints fit, an expert's snapshot does not.
TEST(SwarmFaults, AHostWithAFullDiskWorksOnAndSavesWhenThereIsRoomAgain) {
  SwarmUnderTest swarm({.hosts = 1});
  swarm.wait_until_training();
  const base::TestFolder scratch;
  constexpr int64_t kFileBytesMax = 16 << 10;
  Process host = Process::start({"host", "--join", swarm.at("up"), "--listen", "127.0.0.1:0", "--state",
                                 scratch.path("state"), "--save-seconds", "0.5", "--json"},
                                scratch, kFileBytesMax);
  ASSERT_TRUE(host.wait_for_output("\"event\":\"up\"")) << host.errors();
  const std::string peer = json::parse(host.output(), nullptr, false).value("peer", "");
  measured("a host with a full disk, until a save has failed", swarm.wait_until("a save fails", [&] {
    return metrics_of(swarm, peer).value("agora_saves_failed_total", 0.0) > 0;
  }));
  EXPECT_EQ(metrics_of(swarm, peer).value("agora_disk_fails", 0.0), 1);
  EXPECT_THAT(swarm.run({"peers"}).out, testing::Not(testing::IsEmpty()));
  EXPECT_THAT(run_agora({"peers", "--run", swarm.dir()}).out,
              testing::HasSubstr("can not write its snapshots"));
  EXPECT_THAT(read_file(scratch / "state" / "log"), testing::HasSubstr("saving fails"));
  EXPECT_TRUE(std::filesystem::is_empty(scratch / "state" / "experts")) << "half a snapshot is none";
  measured("a full disk, until the trainer has made 300 more steps",
           swarm.wait_for_steps("trainer 1", kSomeSteps));
  host.make_room();
  measured("room again, until it saves", swarm.wait_until("it saves", [&] {
    const json metrics = metrics_of(swarm, peer);
    return metrics.value("agora_saves_total", 0.0) > 0 && metrics.value("agora_disk_fails", 1.0) == 0;
  }));
  EXPECT_THAT(read_file(scratch / "state" / "log"), testing::HasSubstr("saving works again"));
  host.interrupt();
  const Outcome outcome = host.finish();
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
}

// A network namespace with one host's end of a cable; gone with the object.
class Namespace {
 public:
  Namespace() : name_("agora-" + std::to_string(getpid())), cable_("ag" + std::to_string(getpid() % 100000)) {
    made_ = geteuid() == 0 && ip("netns add " + name_) &&
            ip("link add " + cable_ + "a type veth peer name " + cable_ + "b netns " + name_) &&
            ip("addr add 10.231.7.1/24 dev " + cable_ + "a") && ip("link set " + cable_ + "a up") &&
            inside("addr add 10.231.7.2/24 dev " + cable_ + "b") && inside("link set " + cable_ + "b up") &&
            inside("link set lo up");
  }
  ~Namespace() {
    ip("route del blackhole 10.231.7.2/32");
    ip("link del " + cable_ + "a");
    ip("netns del " + name_);
  }
  bool made() const { return made_; }
  const std::string& name() const { return name_; }
  bool split() {
    return ip("route add blackhole 10.231.7.2/32") && inside("route add blackhole 10.231.7.1/32");
  }
  bool heal() {
    return ip("route del blackhole 10.231.7.2/32") && inside("route del blackhole 10.231.7.1/32");
  }

 private:
  static bool ip(const std::string& words) {
    return std::system(("ip " + words + " 2>/dev/null").c_str()) == 0;
  }
  bool inside(const std::string& words) const { return ip("-n " + name_ + " " + words); }

  std::string name_;
  std::string cable_;
  bool made_ = false;
};

TEST(SwarmFaults, ASplitNetworkIsTwoSwarmsUntilItHeals) {
  Namespace other;
  if (!other.made()) GTEST_SKIP() << "needs root and network namespaces (ip netns, veth)";
  SwarmUnderTest swarm({.hosts = 2, .more = {"--listen", "10.231.7.1:0"}});
  swarm.wait_until_training();
  const base::TestFolder scratch;
  const std::string state = scratch.path("state");
  Process host = Process::start({"host", "--join", swarm.at("up"), "--listen", "10.231.7.2:0", "--state",
                                 state, "--json", "--http", "off"},
                                scratch, 0, {"/usr/bin/env", "ip", "netns", "exec", other.name()});
  ASSERT_TRUE(host.wait_for_output("\"event\":\"up\"")) << host.errors();
  const auto peers = [&] {
    const json all = swarm.ask_json({"peers"});
    return all.is_array() ? all.size() : 0;
  };
  swarm.wait_until("the host on the other side is known", [&] { return peers() == 6; });
  measured("a host that joins, until it holds experts", swarm.wait_until("it holds experts", [&] {
    const json all = swarm.ask_json({"peers"});
    return std::ranges::any_of(all, [](const json& peer) {
      return peer.at("self").at("host") == "10.231.7.2" && !peer.at("self").at("held").empty();
    });
  }));
  ASSERT_TRUE(other.split());
  measured("partition, until the trainer has made 300 more steps",
           swarm.wait_for_steps("trainer 1", kSomeSteps));
  ASSERT_TRUE(other.heal());
  measured("partition healed, until the host answers again",
           swarm.wait_until("the host is back", [&] { return peers() == 6; }));
  measured("partition healed, until the trainer has made 300 more steps",
           swarm.wait_for_steps("trainer 1", kSomeSteps));
  host.interrupt();
  EXPECT_EQ(host.finish().exit_code, 0);
}

}  // namespace
}  // namespace agora::e2e
