#include "agora/swarm/placement/placement.h"

#include <chrono>
#include <memory>
#include <set>

#include "agora/peers/directory/view.h"
#include "agora/swarm/host/test_swarm.h"
#include <gmock/gmock.h>

namespace agora::swarm {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

// Hosts without weights that tell each other once a second, each a round late, what they hold.
class Town {
 public:
  Town(int64_t layers, int64_t experts, int32_t replicas)
      : config_{.layers = layers, .experts = experts, .experts_max = experts, .replicas = replicas} {}

  struct House {
    explicit House(int number, const PlacementConfig& config, int64_t now)
        : id(test_peer(number)),
          holders(config.layers, config.experts_max),
          placement(id, holders, config, Rng(number), now) {}
    peers::PeerId id;
    Holders holders;
    Placement placement;
    int32_t room = 1000;
    bool helps = true;  // false: it says that it has room, and adopts nothing
    std::map<ExpertName, OwnReplica> own;
  };

  House& join(int32_t room = 1000) {
    houses_.push_back(std::make_unique<House>(++last_, config_, now));
    houses_.back()->room = room;
    return *houses_.back();
  }
  // Another that is told of, and does nothing.
  void say(int number, const PeerState& state) {
    for (auto& house : houses_) house->holders.set(test_peer(number), {"h", 1}, state);
  }
  void die(size_t house) {
    for (auto& other : houses_) other->holders.remove(houses_[house]->id);
    houses_.erase(houses_.begin() + static_cast<std::ptrdiff_t>(house));
  }

  size_t a_holder() const {
    const auto holds = [](const auto& house) { return !house->own.empty(); };
    return static_cast<size_t>(std::find_if(houses_.begin(), houses_.end(), holds) - houses_.begin());
  }

  void second() {
    now += kSecond;
    const uint64_t end = reserve_end();
    std::vector<PeerState> states;
    for (auto& house : houses_) {
      std::vector<OwnReplica> own;
      for (auto& [name, replica] : house->own) {
        if (house->holders.leader_of(name) == nullptr) replica.leads = true;
        own.push_back(replica);
      }
      const PlacementRound round =
          house->placement.decide(own, house->room - static_cast<int32_t>(own.size()), now, end);
      for (const ExpertName name : round.adopt) {
        if (!house->helps) break;
        house->own[name] = {
            .name = name, .leads = house->holders.of(name).empty(), .ready = true, .since_ns = now};
        ++adopted;
      }
      for (const ExpertName name : round.drop) house->own.erase(name);
      for (const auto& [name, to] : round.hand_over) {
        house->own[name].leads = false;
        for (auto& other : houses_) {
          if (other->id == to && other->own.contains(name)) other->own[name].leads = true;
        }
        ++handed_over;
      }
      states.push_back(state_of(*house));
    }
    for (auto& house : houses_) {
      for (size_t other = 0; other < houses_.size(); ++other) {
        const bool known = house->holders.host(houses_[other]->id) != nullptr;
        const bool in_reserve = peers::ring_place(houses_[other]->id) <= end;
        if (!in_reserve && states[other].held.empty() && !known) continue;
        if (houses_[other] != house) house->holders.set(houses_[other]->id, {"h", 1}, states[other]);
      }
    }
  }
  void seconds(int count) {
    for (int i = 0; i < count; ++i) second();
  }

  // Replicas of each expert.
  std::map<ExpertName, int> replicas() const {
    std::map<ExpertName, int> counts;
    for (int64_t l = 0; l < config_.layers; ++l) {
      for (int64_t e = 0; e < config_.experts; ++e) counts[expert_name(l, e)] = 0;
    }
    for (const auto& house : houses_) {
      for (const auto& [name, replica] : house->own) ++counts[name];
    }
    return counts;
  }
  size_t leads(const House& house) const {
    return static_cast<size_t>(
        std::count_if(house.own.begin(), house.own.end(), [](const auto& h) { return h.second.leads; }));
  }
  uint64_t reserve_end() const {
    std::vector<uint64_t> places;
    for (const auto& house : houses_) {
      if (house->own.empty()) places.push_back(peers::ring_place(house->id));
    }
    if (places.size() <= reserve) return UINT64_MAX;
    std::sort(places.begin(), places.end());
    return places[reserve - 1];
  }
  House& house(size_t i) { return *houses_[i]; }
  size_t size() const { return houses_.size(); }

  size_t reserve = SIZE_MAX;  // of those who hold nothing, so many are known to others
  int64_t now = 0;
  int adopted = 0;
  int handed_over = 0;

 private:
  static PeerState state_of(const House& house) {
    PeerState state{.host = true, .room = house.room - static_cast<int32_t>(house.own.size())};
    for (const auto& [name, replica] : house.own) {
      state.held.push_back(
          {name.layer, name.expert.value, 1, replica.leads, 1, 0, {load_of(replica.rows_per_s)}});
    }
    return state;
  }

  PlacementConfig config_;
  int last_ = 0;
  std::vector<std::unique_ptr<House>> houses_;
};

void expect_replicas(const Town& town, int count) {
  for (const auto& [name, replicas] : town.replicas()) {
    EXPECT_EQ(replicas, count) << name.layer.value << " " << name.expert.value;
  }
}

TEST(Placement, FillsAnEmptySwarmWithoutATownHall) {
  Town town(4, 16, 2);
  for (int i = 0; i < 4; ++i) town.join();
  town.seconds(8);
  expect_replicas(town, 2);
  EXPECT_LE(town.adopted, 64 * 2 * 1.1);
  for (size_t i = 0; i < town.size(); ++i) {
    EXPECT_GT(town.house(i).own.size(), 15u);
    EXPECT_LT(town.house(i).own.size(), 50u);
  }
  const int settled = town.adopted;
  town.seconds(60);
  EXPECT_EQ(town.adopted, settled);
  expect_replicas(town, 2);
}

TEST(Placement, AsManyHostsAsLayersLeadALayerEachAndFollowTheOthers) {
  Town town(4, 16, 2);
  for (int i = 0; i < 4; ++i) town.join();
  town.seconds(60);
  expect_replicas(town, 2);
  for (size_t i = 0; i < town.size(); ++i) {
    std::set<LayerId> led, followed;
    for (const auto& [name, replica] : town.house(i).own) (replica.leads ? led : followed).insert(name.layer);
    EXPECT_EQ(led.size(), 1u);
    EXPECT_EQ(town.leads(town.house(i)), 16u);
    EXPECT_EQ(followed.size(), 3u);
  }
}

TEST(Placement, AHostAloneHoldsEverythingOnce) {
  Town town(2, 8, 3);
  town.join();
  town.seconds(10);
  expect_replicas(town, 1);
}

TEST(Placement, NeverBeyondItsRoom) {
  Town town(1, 16, 2);
  for (const int32_t room : {3, 5, 8}) town.join(room);
  town.seconds(120);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(town.house(i).own.size(), static_cast<size_t>(town.house(i).room));
  for (const auto& [name, replicas] : town.replicas())
    EXPECT_GE(replicas, 1);  // orphans before second replicas
}

// Who has room may hold what is missing, and who does not may be full.
TEST(Placement, HostsThatAreAllFullInTheEndHoldWhatIsWanted) {
  for (size_t dies = 0; dies < 6; ++dies) {
    for (int64_t experts = 4; experts < 9; ++experts) {
      Town town(2, experts, 3);
      for (int i = 0; i < 6; ++i) town.join(static_cast<int32_t>(3 * 2 * experts + 4) / 5);
      town.seconds(30);
      town.die(dies);
      town.seconds(120);
      expect_replicas(town, 3);
      const int settled = town.adopted;
      town.seconds(60);
      EXPECT_LE(town.adopted, settled);
    }
  }
}

TEST(Placement, OrphansAreAdoptedWhenAHostDies) {
  Town town(2, 16, 2);
  for (int i = 0; i < 5; ++i) town.join();
  town.seconds(30);
  for (int deaths = 0; deaths < 3; ++deaths) {
    town.die(0);
    town.seconds(10);
    for (const auto& [name, replicas] : town.replicas()) EXPECT_GE(replicas, 1);
  }
}

TEST(Placement, ExpertsMoveToANewcomerOneByOne) {
  Town town(2, 16, 2);
  for (int i = 0; i < 3; ++i) town.join();
  town.seconds(30);
  Town::House& newcomer = town.join();
  town.seconds(5);
  EXPECT_LE(newcomer.own.size(), 4u);
  town.seconds(120);
  EXPECT_GT(newcomer.own.size(), 5u);
  EXPECT_GT(town.leads(newcomer), 1u);
  expect_replicas(town, 2);
  const int settled = town.adopted, handed_over = town.handed_over;
  town.seconds(60);
  EXPECT_EQ(town.adopted, settled);
  EXPECT_EQ(town.handed_over, handed_over);
}

TEST(Placement, HotExpertsGetAReplicaMore) {
  Town town(1, 8, 2);
  for (int i = 0; i < 5; ++i) town.join();
  town.seconds(30);
  for (int i = 0; i < 30; ++i) {
    for (size_t h = 0; h < town.size(); ++h) {
      for (auto& [name, replica] : town.house(h).own)
        replica.rows_per_s = name.expert.value == 3 ? 10'000 : 100;
    }
    town.second();
  }
  const auto counts = town.replicas();
  EXPECT_EQ(counts.at(expert_name(0, 3)), 3);
  EXPECT_EQ(counts.at(expert_name(0, 4)), 2);
}

// A record that has no room for loads: its host's experts may be as much asked.
TEST(Placement, NothingIsHotWhereLoadsAreNotTold) {
  Town town(1, 32, 2);
  for (int i = 0; i < 5; ++i) town.join();
  town.say(99, {.host = true, .held = {{LayerId{0}, 4, 28, true, 1, 0, {}}}});
  town.seconds(30);
  for (int i = 0; i < 30; ++i) {
    for (size_t h = 0; h < town.size(); ++h) {
      for (auto& [name, replica] : town.house(h).own) replica.rows_per_s = name.expert.value < 4 ? 1000 : 0;
    }
    town.second();
  }
  for (int e = 0; e < 4; ++e) EXPECT_EQ(town.replicas().at(expert_name(0, e)), 2) << e;
}

TEST(Placement, RetiredExpertsGoAndDoNotComeBack) {
  Town town(1, 8, 2);
  for (int i = 0; i < 3; ++i) town.join();
  town.seconds(20);
  for (size_t i = 0; i < town.size(); ++i) town.house(i).placement.retire(expert_name(0, 5));
  town.seconds(20);
  EXPECT_EQ(town.replicas().at(expert_name(0, 5)), 0);
  EXPECT_EQ(town.replicas().at(expert_name(0, 4)), 2);
}

TEST(Placement, InALargeSwarmTheReserveAdoptsAsSoonAsInASmallOne) {
  Town town(2, 8, 2);
  town.reserve = 20;
  for (int i = 0; i < 200; ++i) town.join(2);
  town.seconds(12);
  for (const auto& [name, replicas] : town.replicas()) EXPECT_GE(replicas, 2);
  EXPECT_LE(town.adopted, 2 * 2 * 2 * 8);
  town.seconds(60);
  expect_replicas(town, 2);
  town.die(town.a_holder());
  town.seconds(3);
  for (const auto& [name, replicas] : town.replicas()) EXPECT_GE(replicas, 2);
}

TEST(Placement, InALargeSwarmTheRestHelpsWhereTheReserveDoesNot) {
  Town town(1, 4, 2);
  town.reserve = 10;
  for (int i = 0; i < 200; ++i) town.join(2);
  const uint64_t end = town.reserve_end();
  for (size_t i = 0; i < town.size(); ++i) {
    if (peers::ring_place(town.house(i).id) <= end) town.house(i).helps = false;
  }
  town.seconds(60);
  for (const auto& [name, replicas] : town.replicas()) EXPECT_GE(replicas, 2);
}

// Cut off from most of the swarm a host had more orphans, which it may not begin anew, than it adopts at
// once: nothing else was replicated for minutes.
TEST(Placement, WhatMayNotBeAdoptedTakesNobodysPlace) {
  Holders holders(1, 100);
  Placement placement(test_peer(1), holders,
                      {.layers = 1, .experts = 100, .experts_max = 100, .adopt_max = 4}, Rng(1), 0);
  PeerState other{.host = true, .held = {{LayerId{0}, 90, 10, true, 1, 5, {}}}};
  holders.set(test_peer(2), {"h", 1}, other);
  const auto of_the_other = [](ExpertName name) { return name.expert.value >= 90; };
  const auto none = of_the_other;  // of those that nobody holds
  EXPECT_TRUE(std::ranges::none_of(placement.decide({}, 50, 60 * kSecond).adopt, of_the_other));
  const PlacementRound round = placement.decide({}, 50, 60 * kSecond, UINT64_MAX, none);
  EXPECT_EQ(round.adopt.size(), 4u);
  EXPECT_TRUE(std::ranges::all_of(round.adopt, of_the_other));

  const std::vector<OwnReplica> full = {{expert_name(0, 90), false, true, 0, 0}};
  EXPECT_FALSE(placement.decide(full, 0, 60 * kSecond).drop.empty());
  EXPECT_TRUE(placement.decide(full, 0, 60 * kSecond, UINT64_MAX, none).drop.empty());
}

TEST(Placement, ManyExpertsOnManyHostsAreDecidedQuickly) {
  const PlacementConfig config{.layers = 8, .experts = 128, .experts_max = 128};
  Holders holders(8, 128);
  for (int i = 1; i < 2000; ++i) {
    peers::PeerId peer;
    for (size_t b = 0; b < 8; ++b)
      peer.bytes[b] = static_cast<std::byte>(mix_bits(static_cast<uint64_t>(i)) >> 8 * b);
    holders.set(peer, {"h", 1}, {.host = true, .room = 10});
  }
  Placement placement(test_peer(1), holders, config, Rng(1), 0);
  const auto begin = std::chrono::steady_clock::now();
  const PlacementRound round = placement.decide({}, 100, 60 * kSecond);
  const double ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  EXPECT_LT(round.adopt.size(), 20u);  // 1,024 experts of two replicas over 2,000 hosts: about one
  EXPECT_LT(ms, 500) << "1,024 experts, 2,000 hosts";
}

}  // namespace
}  // namespace agora::swarm
