// Hosts that pull snapshots, from hosts that say wrong things, or while many others pull them.
#include <map>
#include <memory>
#include <optional>

#include "agora/swarm/host/host_messages.h"
#include "agora/swarm/host/snapshot.h"
#include "agora/swarm/host/test_node.h"
#include "agora/swarm/wire/blob.h"
#include "agora/swarm/wire/method.h"
#include <gmock/gmock.h>

namespace agora::swarm {
namespace {

class FollowingHost : public testing::Test {
 protected:
  void start_hosts(int count, const HostOptions& options = {}) {
    for (int i = 1; i <= count; ++i) {
      nodes.push_back(std::make_unique<TestNode>(loop, network, gossip, machine, spec, i, options));
    }
  }

  SwarmSpec spec = test_spec();
  moe::TestCompute machine{1};
  base::VirtualLoop loop;
  std::shared_ptr<peers::LoopbackNetwork> network = std::make_shared<peers::LoopbackNetwork>(loop);
  Gossip gossip{loop};
  std::vector<std::unique_ptr<TestNode>> nodes;
};

// A peer that says what a test tells it to, and counts the snapshots that it is asked for.
struct Liar {
  Liar(base::VirtualLoop& world, const std::shared_ptr<peers::LoopbackNetwork>& network, Gossip& gossip,
       int number)
      : time(world),
        loop(world),
        transport(network, test_peer(number), peers::Endpoint{"liar", static_cast<uint16_t>(number)}),
        directory(gossip, loop, test_peer(number), transport.endpoint()) {
    transport.serve(kGetSnapshot, [this](const std::shared_ptr<peers::IncomingCall>& call) {
      const StatusOr<BlobRequest> request = read_blob_request(call->payload().bytes());
      if (request->key == kHeadsKey) {
        return serve_blob(*call, [&](std::string_view) { return blob_of(encode_heads(heads)); });
      }
      ++asked[request->key];
      if (!snapshot) return call->reply(absl::NotFoundError("it was a lie"));
      loop.after(chunk_ns,
                 [this, call] { serve_blob(*call, [this](std::string_view) { return *snapshot; }); });
    });
  }
  ~Liar() { transport.stop(); }

  // For a chunk of a snapshot; within a second.
  absl::StatusCode ask(const TestNode& host, const BlobRequest& request) {
    std::optional<Status> status;
    transport.call({.to = host.transport->self(),
                    .at = host.transport->endpoint(),
                    .method = kGetSnapshot,
                    .deadline_ns = loop.now_ns() + kSecondNs},
                   encode(request), [&](const peers::Reply& reply) { status = reply.status; });
    time.run_for(kSecondNs);
    return status->code();
  }

  base::VirtualLoop& time;
  StoppableLoop loop;
  peers::LoopbackTransport transport;
  Gossip::Member directory;
  std::vector<ReplicaHead> heads;
  std::map<std::string, int> asked;
  std::optional<Blob> snapshot;  // that it gives, whatever it is asked for
  int64_t chunk_ns = 0;          // what each chunk of it takes
};

class FollowingSlowly : public FollowingHost {
 protected:
  // Leads the one expert; a chunk of its snapshot takes 14 s.
  void start_leader() {
    const std::unique_ptr<ExpertStore> store = make_store(machine, spec);
    store->adopt(expert_name(0, 0));
    store->set_role(expert_name(0, 0), Role::leader, 9);
    leader = std::make_unique<Liar>(loop, network, gossip, 90);
    leader->snapshot = blob_of(peers::Payload::own(*store->snapshot(expert_name(0, 0))));
    leader->chunk_ns = 14 * kSecondNs;
    start_hosts(1);
    leader->directory.publish(encode(PeerState{.host = true, .held = {{LayerId{0}, 0, 1, true, 9, 0, {}}}}));
    loop.run_for(kSecondNs);
  }

  std::unique_ptr<Liar> leader;
};

// A leader that has been followed by another still says that it leads: what it has is old.
TEST_F(FollowingHost, TakesNoSnapshotOfAnEpochBeforeItsOwn) {
  start_hosts(2);
  loop.run_for(60 * kSecondNs);
  std::vector<ExpertName> led;  // by the first, and followed by the second
  for (const Holding& holding : nodes[0]->store->holdings()) {
    if (holding.role == Role::leader) led.push_back(holding.name);
  }
  ASSERT_GE(led.size(), 2u);
  const ExpertName newer = led[0], older = led[1];
  Liar liar(loop, network, gossip, 90);
  liar.heads = {{newer, true, 9, 100}, {older, true, 0, 100}};
  liar.directory.publish(
      encode(PeerState{.host = true, .held = {{newer.layer, newer.expert.value, 1, true, 9, 100, {}}}}));
  loop.run_for(5 * kSecondNs);
  EXPECT_TRUE(liar.asked.contains(snapshot_key(newer)));
  EXPECT_FALSE(liar.asked.contains(snapshot_key(older)));
}

// The leader gives a peer few copies at a time. It was always the first experts' turn, by their numbers: the
// others stayed as they were adopted.
TEST_F(FollowingHost, EveryExpertHasItsTurn) {
  spec.layers = 1;
  spec.experts = spec.experts_max = 4;
  spec.shape = {.d = 128, .h = 256};  // two chunks
  const HostOptions options{.copies_bytes_max = 4 << 20, .tidy_ns = 3600 * kSecondNs};
  start_hosts(1, options);
  loop.run_for(20 * kSecondNs);
  nodes.push_back(std::make_unique<TestNode>(loop, network, gossip, machine, spec, 2, options));
  loop.run_for(30 * kSecondNs);
  constexpr uint64_t kVersions = 120;
  for (uint64_t version = 1; version <= kVersions; ++version) {
    for (int e = 0; e < spec.experts; ++e) {
      ASSERT_TRUE(nodes[0]->leads(expert_name(0, e)));
      nodes[0]->store->experts().hold(LayerId{0}, ExpertId{e}).set_version(version);
    }
    loop.run_for(kSecondNs);
  }
  for (const Holding& holding : nodes[1]->store->holdings()) EXPECT_GT(holding.version, kVersions - 10);
}

// Every snapshot that was ever fetched stayed in memory, up to a number; beyond it fetches threw each other's
// out.
TEST_F(FollowingHost, CopiesOfSnapshotsAreKeptWhileTheyAreFetched) {
  spec.shape = {.d = 128, .h = 256};  // two chunks
  start_hosts(1, {.copies_max = 1});
  loop.run_for(20 * kSecondNs);
  TestNode& host = *nodes[0];
  Liar one(loop, network, gossip, 90), other(loop, network, gossip, 91);
  const auto ask = [&](Liar& peer, uint64_t offset) {
    const absl::StatusCode code = peer.ask(host, {.key = snapshot_key(expert_name(0, 0)), .offset = offset});
    loop.run_for(kSecondNs);  // a round
    return code;
  };
  EXPECT_EQ(ask(one, 0), absl::StatusCode::kOk);
  EXPECT_EQ(host.host->status().copies, 1);
  EXPECT_EQ(ask(other, 0), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ask(one, kBlobChunkBytes), absl::StatusCode::kOk);
  EXPECT_EQ(host.host->status().copies, 0) << "it has all of it";
  EXPECT_EQ(ask(other, 0), absl::StatusCode::kOk);
  EXPECT_EQ(ask(one, 0), absl::StatusCode::kResourceExhausted);
  loop.run_for(60 * kSecondNs);
  EXPECT_EQ(host.host->status().copies, 0) << "the other has gone";
  EXPECT_EQ(ask(one, 0), absl::StatusCode::kOk);
}

// One that asked for a chunk of everything, again and again, kept all others from any snapshot.
TEST_F(FollowingHost, NobodyTakesAllCopies) {
  spec.shape = {.d = 128, .h = 256};  // two chunks
  start_hosts(1, {.copies_max = 8});
  loop.run_for(20 * kSecondNs);
  TestNode& host = *nodes[0];
  Liar hog(loop, network, gossip, 90), other(loop, network, gossip, 91);
  const auto ask = [&](Liar& peer, int64_t expert, uint64_t offset) {
    return peer.ask(host, {.key = snapshot_key(expert_name(0, expert)), .offset = offset, .bytes_max = 1});
  };
  EXPECT_EQ(ask(hog, 0, 0), absl::StatusCode::kOk);
  EXPECT_EQ(ask(hog, 1, 0), absl::StatusCode::kOk);
  EXPECT_EQ(ask(hog, 2, 0), absl::StatusCode::kResourceExhausted) << "a quarter";
  EXPECT_EQ(ask(other, 2, 0), absl::StatusCode::kOk);
  for (int i = 0; i < 4; ++i) {  // two chunks have 30 s
    loop.run_for(10 * kSecondNs);
    ask(hog, 0, 1);
  }
  EXPECT_EQ(ask(hog, 0, 1), absl::StatusCode::kUnavailable) << "the copy is too old";
}

// It was tried again every second.
TEST_F(FollowingHost, WhatCanNotBeAdoptedIsTriedLessAndLessOften) {
  spec.layers = spec.experts = spec.experts_max = 1;
  start_hosts(1);
  Liar liar(loop, network, gossip, 90);
  liar.directory.publish(encode(PeerState{.host = true, .held = {{LayerId{0}, 0, 1, true, 9, 100, {}}}}));
  loop.run_for(60 * kSecondNs);
  EXPECT_GE(liar.asked[snapshot_key(expert_name(0, 0))], 6);
  EXPECT_LE(liar.asked[snapshot_key(expert_name(0, 0))], 10);
}

// The whole had 60 s: what took longer was never replicated, and fetched from its begin for ever.
TEST_F(FollowingSlowly, TakesALargeSnapshotThatComesSlowly) {
  spec.layers = spec.experts = spec.experts_max = 1;
  spec.shape = {.d = 256, .h = 600};  // six chunks
  start_leader();
  loop.run_for(120 * kSecondNs);
  EXPECT_EQ(nodes[0]->host->status().pulls, 1u);
  EXPECT_EQ(nodes[0]->host->status().pulls_failed, 0u);
  EXPECT_TRUE(nodes[0]->store->experts().holds(LayerId{0}, ExpertId{0}));
}

// Nobody knew that it was held, so nobody dropped it.
TEST_F(FollowingSlowly, DoesNotKeepWhatWasRetiredWhileItWasMade) {
  spec.layers = spec.experts = 1;
  spec.experts_max = 2;
  spec.shape = {.d = 256, .h = 600};
  start_leader();
  const auto ask = [&](peers::Method method, const peers::Payload& request) {
    leader->transport.call({.to = nodes[0]->transport->self(),
                            .at = nodes[0]->transport->endpoint(),
                            .method = method,
                            .deadline_ns = loop.now_ns() + 200 * kSecondNs},
                           request, [](const peers::Reply&) {});
    loop.run_for(kSecondNs);
  };
  ask(kAddExpert, encode(AddExpert{.layer = 0, .from = AddExpert::From::given, .source = ExpertId{0}}));
  ask(kRetireExpert, encode_expert(expert_name(0, 1)));
  loop.run_for(120 * kSecondNs);
  EXPECT_GE(leader->asked[snapshot_key(expert_name(0, 0))], 6);
  EXPECT_FALSE(nodes[0]->store->experts().holds(LayerId{0}, ExpertId{1}));
}

}  // namespace
}  // namespace agora::swarm
