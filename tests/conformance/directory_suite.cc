#include "tests/conformance/directory_suite.h"

#include <map>
#include <set>
#include <utility>
#include <vector>

#include "tests/conformance/switched_ways.h"

namespace agora::tests {
namespace {

using base::kSecondNs;
using peers::DirectoryCounters;
using peers::DirectoryEvent;
using peers::Endpoint;
using peers::Identity;
using peers::Payload;
using peers::PeerId;
using peers::Record;

constexpr uint32_t kTtlS = 3;
constexpr int kPeersMax = 16;

peers::SwarmId swarm_id(int number) {
  peers::SwarmId id;
  id.bytes[0] = static_cast<std::byte>(number);
  return id;
}

// The peers of one test. Everything of a peer lives and dies on the loop.
class Swarm {
 public:
  explicit Swarm(const DirectoryWorldMaker& maker) : world_(maker.make()) {}
  ~Swarm() {
    while (!peers_.empty()) kill(peers_.begin()->first);
  }

  struct Options {
    int joins = 0;  // the number of the peer it joins; 0: none
    int swarm = 1;
    uint64_t first_sequence = 1000;
  };
  void add(int number, Options options) {
    const Identity identity = identity_of(number);
    auto peer = std::make_unique<Peer>();
    peer->transport =
        std::make_unique<SwitchedTransport>(world_->make_transport(identity), world_->loop(), switches);
    const Endpoint at = peer->transport->endpoint();
    peer->dht = std::make_unique<SwitchedDht>(world_->make_dht(at), world_->loop(), switches);
    world_->on_loop([&] {
      peer->directory = peers::SwarmDirectory::create({.swarm = swarm_id(options.swarm),
                                                       .endpoint = {},
                                                       .first_sequence = options.first_sequence,
                                                       .seed = static_cast<uint64_t>(number),
                                                       .ttl_s = kTtlS,
                                                       .peers_max = kPeersMax},
                                                      identity, world_->loop(), *peer->transport, *peer->dht);
      peer->directory->subscribe([&bodies = peer->bodies](const DirectoryEvent& event) {
        if (event.kind == DirectoryEvent::Kind::gone) {
          bodies.erase(event.record->peer);
        } else {
          bodies[event.record->peer] = event.record->body;
        }
      });
      peer->directory->publish(body_of(number));
      if (options.joins != 0) peer->directory->join(peers_.at(options.joins)->transport->endpoint());
    });
    peers_[number] = std::move(peer);
  }
  void add(int number, int joins) { add(number, Options{.joins = joins}); }

  // As if the process died: nobody is told.
  void kill(int number) {
    auto peer = peers_.extract(number);
    peer.mapped()->transport->stop();
    world_->on_loop([&] {
      peer.mapped()->directory.reset();
      peer.mapped()->dht.reset();
    });
  }
  void publish(int number, const std::string& body) {
    world_->on_loop([&] { directory(number).publish(body); });
  }
  void leave(int number) {
    bool told = false;
    world_->on_loop([&] { directory(number).leave([&told] { told = true; }); });
    EXPECT_TRUE(wait([&told] { return told; }));
  }

  bool wait(const std::function<bool()>& condition) { return world_->wait(condition); }
  // Everybody in `numbers` sees exactly the others of them, with their first bodies.
  bool wait_until_all_see(const std::set<int>& numbers) {
    return wait([&] {
      for (const int number : numbers) {
        std::map<PeerId, std::string> expected;
        for (const int other : numbers) {
          if (other != number) expected[identity_of(other).id()] = body_of(other);
        }
        if (peers_.at(number)->bodies != expected) return false;
      }
      return true;
    });
  }
  bool wait_until_sees(int number, int other, const std::string& body) {
    return wait([&] {
      const auto& bodies = peers_.at(number)->bodies;
      const auto seen = bodies.find(identity_of(other).id());
      return seen != bodies.end() && seen->second == body;
    });
  }
  bool wait_until_misses(int number, int other) {
    return wait([&] { return !peers_.at(number)->bodies.contains(identity_of(other).id()); });
  }

  // What a peer would push, from one peer's transport to another's directory.
  Status push(int from, int to, const std::vector<std::byte>& record) {
    return send(from, to, peers::kPushMethod, peers::encode_records({Payload::copy(record)}));
  }
  Status send(int from, int to, peers::Method method, const Payload& payload) {
    const auto answer = std::make_shared<Status>(absl::UnknownError("no answer"));
    world_->on_loop([&] {
      const peers::CallSettings call{.to = identity_of(to).id(),
                                     .at = peers_.at(to)->transport->endpoint(),
                                     .method = method,
                                     .deadline_ns = world_->loop().now_ns() + 60 * kSecondNs};
      peers_.at(from)->transport->call(call, payload,
                                       [&loop = world_->loop(), answer](const peers::Reply& reply) {
                                         loop.post([answer, status = reply.status] { *answer = status; });
                                       });
    });
    EXPECT_TRUE(wait([&] { return !absl::IsUnknown(*answer); }));
    return *answer;
  }

  static Identity identity_of(int number) { return Identity::from_seed(static_cast<uint64_t>(number)); }
  static std::string body_of(int number) { return "body of " + std::to_string(number); }
  peers::SwarmDirectory& directory(int number) { return *peers_.at(number)->directory; }
  DirectoryCounters counters(int number) { return directory(number).counters(); }

  Switches switches;

 private:
  struct Peer {
    std::unique_ptr<SwitchedTransport> transport;
    std::unique_ptr<SwitchedDht> dht;
    std::shared_ptr<peers::SwarmDirectory> directory;
    std::map<PeerId, std::string> bodies;  // as its listener was told; on the loop
  };

  std::unique_ptr<DirectoryWorld> world_;
  std::map<int, std::unique_ptr<Peer>> peers_;
};

// A record of peer 9, which never runs: the tests write what it would say.
std::vector<std::byte> record_of_9(uint64_t sequence, uint32_t ttl_s = 600, int swarm = 1) {
  Record record;
  record.swarm = swarm_id(swarm);
  record.endpoint = {"127.0.0.1", 1};
  record.sequence = sequence;
  record.ttl_s = ttl_s;
  record.body = "sequence " + std::to_string(sequence);
  return *peers::sign_record(record, Swarm::identity_of(9));
}

TEST_P(DirectorySuite, PeersFindEachOther) {
  Swarm swarm(GetParam());
  // Wall clocks ten minutes apart make no difference.
  swarm.add(1, {.joins = 0, .swarm = 1, .first_sequence = 10'000});
  swarm.add(2, {.joins = 1, .swarm = 1, .first_sequence = 10'600});
  swarm.add(3, {.joins = 2, .swarm = 1, .first_sequence = 9'400});
  swarm.add(4, 1);
  EXPECT_TRUE(swarm.wait_until_all_see({1, 2, 3, 4}));
  EXPECT_EQ(swarm.directory(1).records().size(), 3u);
}

TEST_P(DirectorySuite, AChangeIsSeenAndTheLastBodyWins) {
  Swarm swarm(GetParam());
  swarm.add(1, 0);
  swarm.add(2, 1);
  ASSERT_TRUE(swarm.wait_until_all_see({1, 2}));
  for (int i = 0; i < 20; ++i) swarm.publish(2, "change " + std::to_string(i));
  EXPECT_TRUE(swarm.wait_until_sees(1, 2, "change 19"));
}

TEST_P(DirectorySuite, ABodyThatIsTooLargeIsRefusedAndTheOneBeforeStays) {
  Swarm swarm(GetParam());
  swarm.add(1, 0);
  swarm.add(2, 1);
  swarm.publish(2, std::string(peers::kRecordBodyBytesMax + 1, 'x'));
  EXPECT_TRUE(swarm.wait_until_all_see({1, 2}));
  EXPECT_EQ(swarm.counters(2).own_refused, 1u);
  const std::string largest(peers::kRecordBodyBytesMax, 'x');
  swarm.publish(2, largest);
  EXPECT_TRUE(swarm.wait_until_sees(1, 2, largest));
}

TEST_P(DirectorySuite, WhoLeavesIsGoneAtOnce) {
  Swarm swarm(GetParam());
  for (int i = 1; i <= 3; ++i) swarm.add(i, i - 1);
  ASSERT_TRUE(swarm.wait_until_all_see({1, 2, 3}));
  swarm.leave(2);
  EXPECT_TRUE(swarm.wait_until_misses(1, 2));
  EXPECT_TRUE(swarm.wait_until_misses(3, 2));
  EXPECT_EQ(swarm.counters(1).expired, 0u);
}

TEST_P(DirectorySuite, WhoIsSilentExpires) {
  Swarm swarm(GetParam());
  for (int i = 1; i <= 3; ++i) swarm.add(i, i - 1);
  ASSERT_TRUE(swarm.wait_until_all_see({1, 2, 3}));
  swarm.kill(2);
  EXPECT_TRUE(swarm.wait_until_misses(1, 2));
  EXPECT_TRUE(swarm.wait_until_misses(3, 2));
  EXPECT_EQ(swarm.counters(1).expired, 1u);
  EXPECT_TRUE(swarm.wait_until_all_see({1, 3}));
}

TEST_P(DirectorySuite, TheFirstPeerIsNotNeeded) {
  Swarm swarm(GetParam());
  swarm.add(1, 0);
  for (int i = 2; i <= 4; ++i) swarm.add(i, 1);
  ASSERT_TRUE(swarm.wait_until_all_see({1, 2, 3, 4}));
  swarm.kill(1);
  swarm.add(5, 3);
  EXPECT_TRUE(swarm.wait_until_all_see({2, 3, 4, 5}));
}

TEST_P(DirectorySuite, ContactIsEnough) {
  Swarm swarm(GetParam());
  swarm.switches.dht_cut = true;
  for (int i = 1; i <= 4; ++i) swarm.add(i, i - 1);
  ASSERT_TRUE(swarm.wait_until_all_see({1, 2, 3, 4}));
  swarm.publish(4, "change");
  EXPECT_TRUE(swarm.wait_until_sees(1, 4, "change"));
}

TEST_P(DirectorySuite, TheDhtIsEnough) {
  Swarm swarm(GetParam());
  swarm.switches.contact_cut = true;
  for (int i = 1; i <= 4; ++i) swarm.add(i, i == 1 ? 0 : 1);
  ASSERT_TRUE(swarm.wait_until_all_see({1, 2, 3, 4}));
  swarm.publish(4, "change");
  EXPECT_TRUE(swarm.wait_until_sees(1, 4, "change"));
}

TEST_P(DirectorySuite, APeerThatCameBackWithAnOlderClockIsSeen) {
  Swarm swarm(GetParam());
  swarm.add(1, 0);
  swarm.add(2, {.joins = 1, .swarm = 1, .first_sequence = 10'000});
  ASSERT_TRUE(swarm.wait_until_all_see({1, 2}));
  swarm.kill(2);
  ASSERT_TRUE(swarm.wait_until_misses(1, 2));
  swarm.add(2, {.joins = 1, .swarm = 1, .first_sequence = 10});
  EXPECT_TRUE(swarm.wait_until_all_see({1, 2}));
}

TEST_P(DirectorySuite, AReplayedRecordIsDroppedAndCounted) {
  Swarm swarm(GetParam());
  swarm.add(1, 0);
  swarm.add(2, 1);
  ASSERT_TRUE(swarm.wait_until_all_see({1, 2}));
  EXPECT_TRUE(swarm.push(2, 1, record_of_9(6)).ok());
  EXPECT_TRUE(swarm.wait_until_sees(1, 9, "sequence 6"));
  EXPECT_TRUE(swarm.push(2, 1, record_of_9(5)).ok());
  EXPECT_EQ(swarm.counters(1).stale, 1u);
  EXPECT_TRUE(swarm.push(2, 1, record_of_9(7, /*ttl_s=*/1)).ok());
  EXPECT_TRUE(swarm.wait_until_misses(1, 9));
  EXPECT_TRUE(swarm.push(2, 1, record_of_9(7, /*ttl_s=*/1)).ok());  // it stays gone
  EXPECT_EQ(swarm.counters(1).stale, 2u);
  EXPECT_EQ(swarm.directory(1).records().size(), 1u);
}

TEST_P(DirectorySuite, AForgedRecordIsDroppedAndCounted) {
  Swarm swarm(GetParam());
  swarm.add(1, 0);
  swarm.add(2, 1);
  ASSERT_TRUE(swarm.wait_until_all_see({1, 2}));
  std::vector<std::byte> record = record_of_9(1);
  record[4] ^= std::byte{1};  // of the sequence
  EXPECT_TRUE(swarm.push(2, 1, record).ok());
  EXPECT_EQ(swarm.counters(1).forged, 1u);
  EXPECT_EQ(swarm.directory(1).records().size(), 1u);
}

TEST_P(DirectorySuite, WhatIsNoRecordOfThisSwarmIsDroppedAndCounted) {
  Swarm swarm(GetParam());
  swarm.add(1, 0);
  swarm.add(2, 1);
  ASSERT_TRUE(swarm.wait_until_all_see({1, 2}));
  std::vector<std::byte> record = record_of_9(1);
  EXPECT_TRUE(swarm.push(2, 1, record_of_9(1, 600, /*swarm=*/2)).ok());
  EXPECT_EQ(swarm.counters(1).foreign, 1u);
  record.resize(peers::kRecordBytesMax + 1);
  EXPECT_TRUE(swarm.push(2, 1, record).ok());
  EXPECT_EQ(swarm.counters(1).oversized, 1u);
  record.resize(50);
  EXPECT_TRUE(swarm.push(2, 1, record).ok());
  EXPECT_EQ(swarm.counters(1).malformed, 1u);
  EXPECT_EQ(swarm.directory(1).records().size(), 1u);
}

TEST_P(DirectorySuite, WhatIsNoMessageIsAnsweredWithAnErrorAndCounted) {
  Swarm swarm(GetParam());
  swarm.add(1, 0);
  swarm.add(2, 1);
  ASSERT_TRUE(swarm.wait_until_all_see({1, 2}));
  const Payload junk = Payload::own(std::vector<std::byte>(300, std::byte{0xa5}));
  const Payload huge = Payload::own(std::vector<std::byte>(1 << 20));
  for (const peers::Method method : {peers::kExchangeMethod, peers::kPushMethod}) {
    for (const Payload& payload : {Payload(), junk, huge}) {
      EXPECT_TRUE(absl::IsInvalidArgument(swarm.send(2, 1, method, payload)));
    }
  }
  EXPECT_EQ(swarm.counters(1).messages_refused, 6u);
  swarm.publish(2, "still here");
  EXPECT_TRUE(swarm.wait_until_sees(1, 2, "still here"));
}

TEST_P(DirectorySuite, SwarmsDoNotMix) {
  Swarm swarm(GetParam());
  swarm.add(1, 0);
  swarm.add(2, 1);
  swarm.add(3, {.joins = 1, .swarm = 2});
  swarm.add(4, {.joins = 3, .swarm = 2});
  EXPECT_TRUE(swarm.wait([&] { return swarm.counters(1).foreign > 0; }));
  EXPECT_TRUE(swarm.wait_until_all_see({1, 2}));
  EXPECT_TRUE(swarm.wait_until_all_see({3, 4}));
}

TEST_P(DirectorySuite, NoMorePeersAreKeptThanTheLimit) {
  Swarm swarm(GetParam());
  swarm.add(1, 0);
  swarm.add(2, 1);
  ASSERT_TRUE(swarm.wait_until_all_see({1, 2}));
  for (int i = 0; i < kPeersMax + 5; ++i) {
    Record record;
    record.swarm = swarm_id(1);
    record.endpoint = {"127.0.0.1", 1};
    record.sequence = 1;
    EXPECT_TRUE(swarm.push(2, 1, *peers::sign_record(record, Identity::generate())).ok());
  }
  EXPECT_EQ(swarm.directory(1).records().size(), static_cast<size_t>(kPeersMax));
  EXPECT_GE(swarm.counters(1).over_limit, 6u);
}

}  // namespace

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(DirectorySuite);

}  // namespace agora::tests
