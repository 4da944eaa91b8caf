#include "agora/swarm/placement/homes.h"

#include <algorithm>
#include <map>
#include <set>

#include "agora/swarm/host/test_swarm.h"
#include <gmock/gmock.h>

namespace agora::swarm {
namespace {

constexpr int64_t kPlenty = 1000;

std::vector<Homes::Host> hosts_of(int count, int64_t capacity = kPlenty) {
  std::vector<Homes::Host> hosts;
  for (int i = 1; i <= count; ++i) hosts.push_back({test_peer(i), capacity});
  return hosts;
}

struct Town {
  Town(int64_t layer_count, int64_t expert_count, std::vector<Homes::Host> hosts)
      : layers(layer_count), experts(expert_count), homes(layer_count, expert_count) {
    homes.settle(std::move(hosts));
  }
  std::map<peers::PeerId, int64_t> shares() const {
    std::map<peers::PeerId, int64_t> shares;
    for (int64_t l = 0; l < layers; ++l) {
      for (int64_t e = 0; e < experts; ++e) {
        if (const peers::PeerId* home = homes.of(expert_name(l, e))) ++shares[*home];
      }
    }
    return shares;
  }
  size_t hosts_in(int64_t layer) const {
    std::set<peers::PeerId> hosts;
    for (int64_t e = 0; e < experts; ++e) hosts.insert(*homes.of(expert_name(layer, e)));
    return hosts.size();
  }
  int64_t moved_since(const Town& before) const {
    int64_t moved = 0;
    for (int64_t l = 0; l < layers; ++l) {
      for (int64_t e = 0; e < experts; ++e) {
        moved += *homes.of(expert_name(l, e)) != *before.homes.of(expert_name(l, e)) ? 1 : 0;
      }
    }
    return moved;
  }

  int64_t layers, experts;
  Homes homes;
};

TEST(Homes, AsManyHostsAsLayersHaveALayerEach) {
  const Town town(4, 16, hosts_of(4));
  EXPECT_EQ(town.shares().size(), 4u);
  for (const auto& [host, share] : town.shares()) EXPECT_EQ(share, 16);
  for (int64_t layer = 0; layer < 4; ++layer) EXPECT_EQ(town.hosts_in(layer), 1u);
}

TEST(Homes, NobodyHasMoreThanAShareAndLayersStayTogether) {
  for (int count = 1; count <= 80; ++count) {
    const Town town(4, 16, hosts_of(count));
    const int64_t share = (64 + count - 1) / count;
    int64_t all = 0, layers_times_hosts = 0;
    for (const auto& [host, experts] : town.shares()) {
      EXPECT_LE(experts, share);
      all += experts;
    }
    EXPECT_EQ(all, 64) << count;
    for (int64_t layer = 0; layer < 4; ++layer) {
      layers_times_hosts += static_cast<int64_t>(town.hosts_in(layer));
    }
    // A cut between two hosts is where one is full; each of them is full once.
    EXPECT_LE(layers_times_hosts, count + 4) << count;
  }
}

TEST(Homes, WhoKnowsTheSameHostsFindsTheSameHomes) {
  std::vector<Homes::Host> hosts = hosts_of(7);
  const Town town(3, 10, hosts);
  std::reverse(hosts.begin(), hosts.end());
  EXPECT_EQ(Town(3, 10, hosts).moved_since(town), 0);
}

// Of 20 pairs of neighbours: a newcomer's share is 1/P of the experts, what moves on its account is bounded.
TEST(Homes, ANewcomerMovesAboutItsShare) {
  int64_t moved = 0, shares = 0;
  for (int count = 10; count < 30; ++count) {
    moved += Town(16, 64, hosts_of(count + 1)).moved_since(Town(16, 64, hosts_of(count)));
    shares += 16 * 64 / (count + 1);
  }
  EXPECT_GE(moved, shares);
  EXPECT_LE(moved, 4 * shares);
}

TEST(Homes, CapacityBinds) {
  std::vector<Homes::Host> hosts = hosts_of(3, 4);
  hosts[0].capacity = 0;
  const Town town(1, 16, hosts);
  EXPECT_THAT(town.shares(),
              testing::UnorderedElementsAre(testing::Pair(test_peer(2), 4), testing::Pair(test_peer(3), 4)));
  EXPECT_EQ(town.homes.of(expert_name(0, 15)), nullptr);
}

TEST(Homes, NoneWithoutHostsNorBeyondTheSwarm) {
  Homes homes(2, 4);
  EXPECT_EQ(homes.of(expert_name(0, 0)), nullptr);
  homes.settle({});
  EXPECT_EQ(homes.of(expert_name(0, 0)), nullptr);
  homes.settle(hosts_of(1));
  EXPECT_NE(homes.of(expert_name(1, 3)), nullptr);
  EXPECT_EQ(homes.of(expert_name(2, 0)), nullptr);
  EXPECT_EQ(homes.of(expert_name(0, 4)), nullptr);
}

}  // namespace
}  // namespace agora::swarm
