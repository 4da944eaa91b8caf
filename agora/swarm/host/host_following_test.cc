// Hosts that pull snapshots, from hosts that say wrong things, or while many others pull them.
#include <memory>
#include <optional>
#include <set>

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
  Liar(base::VirtualLoop& world, const std::shared_ptr<peers::LoopbackNetwork>& network, Gossip& gossip)
      : loop(world),
        transport(network, test_peer(90), peers::Endpoint{"liar", 1}),
        directory(gossip, loop, test_peer(90), transport.endpoint()) {
    transport.serve(kGetSnapshot, [this](const std::shared_ptr<peers::IncomingCall>& call) {
      const StatusOr<BlobRequest> request = read_blob_request(call->payload().bytes());
      if (request->key == kHeadsKey) {
        return serve_blob(*call, [&](std::string_view) { return blob_of(encode_heads(heads)); });
      }
      asked.insert(request->key);
      call->reply(absl::NotFoundError("it was a lie"));
    });
  }
  ~Liar() { transport.stop(); }

  StoppableLoop loop;
  peers::LoopbackTransport transport;
  Gossip::Member directory;
  std::vector<ReplicaHead> heads;
  std::set<std::string> asked;
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
  Liar liar(loop, network, gossip);
  liar.heads = {{newer, true, 9, 100}, {older, true, 0, 100}};
  liar.directory.publish(
      encode(PeerState{.host = true, .held = {{newer.layer, newer.expert.value, 1, true, 9, 100, {}}}}));
  loop.run_for(5 * kSecondNs);
  EXPECT_TRUE(liar.asked.contains(snapshot_key(newer)));
  EXPECT_FALSE(liar.asked.contains(snapshot_key(older)));
}

}  // namespace
}  // namespace agora::swarm
