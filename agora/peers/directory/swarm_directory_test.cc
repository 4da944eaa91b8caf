// How fast a swarm finds itself, and what that costs; what must be true besides is in
// tests/conformance/directory_suite.h.
#include "agora/peers/directory/swarm_directory.h"

#include <algorithm>
#include <array>
#include <memory>
#include <set>
#include <vector>

#include "agora/base/virtual_loop.h"
#include "agora/peers/directory/messages.h"
#include "agora/peers/directory/simulated_dht.h"
#include "agora/peers/directory/simulated_records.h"
#include "agora/peers/transport/loopback.h"
#include <gtest/gtest.h>

namespace agora::peers {
namespace {

using base::kMillisecondNs;
using base::kSecondNs;

// Remembers by whom it was entered.
class DoorsOnly final : public Dht {
 public:
  void join(const Endpoint& peer) override { doors.insert(peer); }
  void announce(const SwarmId&, const Endpoint&) override {}
  void find(const SwarmId&, Found) override {}
  void put(const SwarmId&, const Endpoint&, std::vector<std::byte>) override {}
  void get(const SwarmId&, const Endpoint&, Got) override {}

  std::set<Endpoint> doors;
};

class Swarm {
 public:
  explicit Swarm(int count, bool dht_down = false) {
    table_.faults.down = dht_down;
    for (int i = 0; i < count; ++i) {
      const Identity identity = Identity::from_seed(static_cast<uint64_t>(i) + 1);
      Peer peer;
      const Endpoint at{"127.0.0.1", static_cast<uint16_t>(1000 + i)};
      peer.transport = std::make_unique<LoopbackTransport>(network_, identity.id(), at);
      peer.dht = std::make_unique<SimulatedDht>(table_);
      peer.directory = SwarmDirectory::create({.swarm = {},
                                               .endpoint = {},
                                               .first_sequence = 1,
                                               .seed = static_cast<uint64_t>(i),
                                               .ttl_s = 30,
                                               .peers_max = 4096},
                                              identity, loop_, *peer.transport, *peer.dht);
      peer.directory->publish("body");
      if (i > 0) peer.directory->join({"127.0.0.1", 1000});
      peers_.push_back(std::move(peer));
    }
  }
  ~Swarm() {
    for (Peer& peer : peers_) peer.transport->stop();
  }

  bool complete() const {
    for (const Peer& peer : peers_) {
      if (peer.directory->records().size() + 1 != peers_.size()) return false;
    }
    return true;
  }
  // Virtual time until the condition holds, stepped by 50 ms; a minute if it never does.
  template <class Condition>
  int64_t time_until(const Condition& condition) {
    const int64_t start_ns = loop_.now_ns();
    while (!condition() && loop_.now_ns() < start_ns + 60 * kSecondNs) loop_.run_for(50 * kMillisecondNs);
    return loop_.now_ns() - start_ns;
  }
  SwarmDirectory& directory(size_t i) { return *peers_[i].directory; }
  uint64_t bytes_sent(size_t i) const { return peers_[i].transport->counters().bytes_sent; }
  base::VirtualLoop& loop() { return loop_; }
  // Somebody who is none of the swarm any more, but is still announced; counts who calls there.
  LoopbackTransport& haunt() {
    const Endpoint at{"127.0.0.1", 9};
    ghost_ = std::make_unique<LoopbackTransport>(network_, Identity::from_seed(999).id(), at);
    table_.announced[{SwarmId{}, at}] = INT64_MAX;
    return *ghost_;
  }

 private:
  struct Peer {
    std::unique_ptr<LoopbackTransport> transport;
    std::unique_ptr<SimulatedDht> dht;
    std::shared_ptr<SwarmDirectory> directory;
  };
  base::VirtualLoop loop_;
  SimulatedDhtNetwork table_{loop_, 1};
  std::shared_ptr<LoopbackNetwork> network_ = std::make_shared<LoopbackNetwork>(loop_);
  std::vector<Peer> peers_;
  std::unique_ptr<LoopbackTransport> ghost_;
};

TEST(SwarmDirectory, ManyPeersFindEachOtherWithinSeconds) {
  Swarm swarm(40, /*dht_down=*/true);
  EXPECT_LE(swarm.time_until([&] { return swarm.complete(); }), 4 * kSecondNs);
}

TEST(SwarmDirectory, AChangeReachesEveryoneWithinTwoSeconds) {
  Swarm swarm(40, /*dht_down=*/true);
  swarm.time_until([&] { return swarm.complete(); });
  swarm.loop().run_for(20 * kSecondNs);
  swarm.directory(7).publish("changed");
  const auto all_know = [&] {
    for (size_t i = 0; i < 40; ++i) {
      if (i == 7) continue;
      bool knows = false;
      for (const auto& record : swarm.directory(i).records()) knows = knows || record->body == "changed";
      if (!knows) return false;
    }
    return true;
  };
  EXPECT_LE(swarm.time_until(all_know), 2 * kSecondNs);
}

TEST(SwarmDirectory, WhoIsAnnouncedButGoneIsCalledOnceInFiveMinutes) {
  Swarm swarm(3, /*dht_down=*/false);
  swarm.time_until([&] { return swarm.complete(); });
  const LoopbackTransport& ghost = swarm.haunt();
  swarm.loop().run_for(290 * kSecondNs);
  EXPECT_GE(ghost.counters().calls_received, 1u);
  EXPECT_LE(ghost.counters().calls_received, 3u);  // by each
}

// Every twentieth peer matters, and one more as time passes. All sign by a keyed hash, or a test would take a
// minute.
class LargeSwarm : public testing::Test {
 protected:
  static constexpr int kPeers = 400, kMatter = kPeers / 20;
  struct Peer {
    std::unique_ptr<LoopbackTransport> transport;
    std::unique_ptr<SimulatedDht> dht;
    std::shared_ptr<SwarmDirectory> directory;
    bool crowded() const { return directory->reserve_end() != UINT64_MAX; }
  };
  static bool matters(const Record& record) { return record.body == "matters"; }

  LargeSwarm() {
    table_.faults.down = true;
    const auto reader = std::make_shared<SimulatedReader>();
    for (int i = 0; i < kPeers; ++i) {
      const auto signer = std::make_shared<const SimulatedSigner>(i);
      const Endpoint at{"127.0.0.1", static_cast<uint16_t>(1000 + i)};
      Peer& peer = peers_[static_cast<size_t>(i)];
      peer.transport = std::make_unique<LoopbackTransport>(network_, peer_id_of(signer->public_key()), at);
      peer.dht = std::make_unique<SimulatedDht>(table_);
      SwarmDirectorySettings settings;
      settings.seed = static_cast<uint64_t>(i);
      settings.matters_to_all = matters;
      peer.directory = SwarmDirectory::create(settings, signer, loop_, *peer.transport, *peer.dht, reader);
      peer.directory->publish(i % 20 == 0 ? "matters" : "does not");
      if (i > 0) peer.directory->join({"127.0.0.1", 1000});
    }
    loop_.run_for(10 * kSecondNs);
    peers_[7].directory->publish("matters");  // as a host that adopts
    loop_.run_for(5 * kSecondNs);
  }
  ~LargeSwarm() override {
    for (Peer& peer : peers_) peer.transport->stop();
  }

  base::VirtualLoop loop_;
  SimulatedDhtNetwork table_{loop_, 1};
  const std::shared_ptr<LoopbackNetwork> network_ = std::make_shared<LoopbackNetwork>(loop_);
  std::vector<Peer> peers_{kPeers};
};

TEST_F(LargeSwarm, EverybodyKnowsThoseThatMatterAndASampleOfTheRest) {
  std::vector<uint64_t> others;
  for (int i = 0; i < kPeers; ++i) {
    if (i % 20 != 0 && i != 7) others.push_back(ring_place(peers_[static_cast<size_t>(i)].transport->self()));
  }
  std::ranges::sort(others);
  size_t crowded = 0, agree = 0;  // who is of the reserve
  for (int i = 0; i < kPeers; ++i) {
    const Peer& peer = peers_[static_cast<size_t>(i)];
    const auto records = peer.directory->records();
    const bool own = i % 20 == 0 || i == 7;
    EXPECT_EQ(std::ranges::count_if(records, [](const auto& r) { return matters(*r); }), kMatter + 1 - own)
        << i;
    EXPECT_LE(records.size(), 256u + kMatter + 1) << i;
    if (!peer.crowded()) continue;
    ++crowded;
    const bool of_reserve = !own && ring_place(peer.transport->self()) <= others[63];
    agree += peer.directory->reserve_end() == others[of_reserve ? 64 : 63] ? 1 : 0;
  }
  EXPECT_GT(crowded, kPeers / 2u);
  EXPECT_GE(agree, crowded - crowded / 50);  // one is on its way
}

TEST_F(LargeSwarm, WhoPushesAndIsNoContactIsTold) {
  const SimulatedSigner stranger(kPeers);
  LoopbackTransport door(network_, peer_id_of(stranger.public_key()), Endpoint{"127.0.0.1", 999});
  const auto to = std::ranges::find_if(peers_, [](const Peer& peer) { return peer.crowded(); });
  Status answer = absl::UnknownError("none");
  const CallSettings push{.to = to->transport->self(),
                          .at = to->transport->endpoint(),
                          .method = kPushMethod,
                          .deadline_ns = loop_.now_ns() + kSecondNs};
  door.call(push, encode_records({}), [&](const Reply& reply) { answer = reply.status; });
  loop_.run_for(kMillisecondNs);
  EXPECT_TRUE(absl::IsResourceExhausted(answer)) << answer;
  door.stop();
}

TEST(SwarmDirectory, WhoIsInContactEntersTheTableLaterAndByItsContacts) {
  base::VirtualLoop loop;
  const auto network = std::make_shared<LoopbackNetwork>(loop);
  const Endpoint first{"127.0.0.1", 1000}, dead{"127.0.0.1", 999};
  struct Node {
    std::unique_ptr<LoopbackTransport> transport;
    DoorsOnly dht;
    std::shared_ptr<SwarmDirectory> directory;
  };
  std::array<Node, 3> nodes;
  for (size_t i = 0; i < nodes.size(); ++i) {
    const Identity identity = Identity::from_seed(i + 1);
    nodes[i].transport = std::make_unique<LoopbackTransport>(
        network, identity.id(), Endpoint{"127.0.0.1", static_cast<uint16_t>(1000 + i)});
    nodes[i].directory = SwarmDirectory::create({.swarm = {}, .endpoint = {}, .first_sequence = 1, .seed = i},
                                                identity, loop, *nodes[i].transport, nodes[i].dht);
    nodes[i].directory->publish("body");
  }
  nodes[1].directory->join(first);
  nodes[2].directory->join(dead);
  loop.run_for(1500 * kMillisecondNs);
  EXPECT_TRUE(nodes[1].dht.doors.empty());
  EXPECT_EQ(nodes[2].dht.doors, std::set{dead});
  loop.run_for(20 * kSecondNs);
  EXPECT_EQ(nodes[1].dht.doors, std::set{first});
  EXPECT_EQ(nodes[0].dht.doors, std::set{nodes[1].transport->endpoint()});
  for (Node& node : nodes) node.transport->stop();
}

// A directory and a stranger who calls it.
class StrangerTest : public testing::Test {
 protected:
  StrangerTest() {
    directory_ = SwarmDirectory::create({.swarm = {}, .endpoint = {}, .first_sequence = 1, .seed = 1},
                                        Identity::from_seed(1), loop_, host_, dht_);
  }
  ~StrangerTest() override {
    stranger_.stop();
    host_.stop();
  }
  static Payload record(uint64_t seed, uint64_t sequence) {
    Record record;
    record.endpoint = {"10.0.0.9", 1};
    record.sequence = sequence;
    return Payload::own(*sign_record(record, Identity::from_seed(seed)));
  }
  void push(const std::vector<Payload>& records) {
    const CallSettings call{.to = host_.self(),
                            .at = host_.endpoint(),
                            .method = kPushMethod,
                            .deadline_ns = loop_.now_ns() + kSecondNs};
    stranger_.call(call, encode_records(records), [this](const Reply& reply) {
      taken_ += reply.status.ok() ? 1 : 0;
      refused_ += absl::IsResourceExhausted(reply.status) ? 1 : 0;
    });
  }

  base::VirtualLoop loop_;
  const std::shared_ptr<LoopbackNetwork> network_ = std::make_shared<LoopbackNetwork>(loop_);
  LoopbackTransport host_{network_, Identity::from_seed(1).id(), {"127.0.0.1", 1}};
  LoopbackTransport stranger_{network_, Identity::from_seed(2).id(), {"127.0.0.1", 2}};
  DoorsOnly dht_;
  std::shared_ptr<SwarmDirectory> directory_;
  int taken_ = 0, refused_ = 0;
};

TEST_F(StrangerTest, FewCallsOfOneCallerWaitForTheLoop) {
  for (int i = 0; i < 100; ++i) push({record(3, 1)});
  loop_.run_for(kSecondNs);
  EXPECT_EQ(taken_, 8);
  EXPECT_EQ(refused_, 92);
  push({record(3, 2)});
  loop_.run_for(kSecondNs);
  EXPECT_EQ(taken_, 9);
}

TEST_F(StrangerTest, AMessageSaysOneThingOfAPeer) {
  push({record(3, 1), record(4, 1), record(3, 2), record(3, 3), record(5, 1)});
  loop_.run_for(kSecondNs);
  EXPECT_EQ(directory_->counters().messages_refused, 1u);
  EXPECT_EQ(directory_->counters().records_taken, 3u);
}

}  // namespace
}  // namespace agora::peers
