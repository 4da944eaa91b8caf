// Experts that a person adds: all that were asked for, or none.
#include <memory>
#include <optional>
#include <vector>

#include "agora/swarm/host/host_messages.h"
#include "agora/swarm/host/snapshot.h"
#include "agora/swarm/host/test_node.h"
#include "agora/swarm/wire/blob.h"
#include "agora/swarm/wire/method.h"
#include <gmock/gmock.h>

namespace agora::swarm {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr AddExpert kCopy{.layer = 1, .from = AddExpert::From::given, .source = ExpertId{3}};

class AddedExperts : public testing::Test {
 protected:
  // One leads every expert, the other none.
  void start(const HostOptions& options = {}) {
    holder.emplace(loop, network, gossip, machine, spec, 1, options);
    loop.run_for(20 * kSecondNs);
    helper.emplace(loop, network, gossip, machine, spec, 2, HostOptions{.settle_ns = 3600 * kSecondNs});
    loop.run_for(3 * kSecondNs);
  }
  peers::CallId begin(const AddExpert& request) {
    status.reset();
    return person.call({.to = helper->transport->self(),
                        .at = helper->transport->endpoint(),
                        .method = kAddExpert,
                        .deadline_ns = loop.now_ns() + 3600 * kSecondNs},
                       encode(request), [&](const peers::Reply& reply) { status = reply.status; });
  }
  Status end() {
    while (!status) loop.step();
    loop.run_for(kSecondNs);
    return *status;
  }
  Status add(const AddExpert& request) {
    begin(request);
    return end();
  }
  // From the holder.
  absl::StatusCode ask_for_chunk(ExpertName name, uint64_t offset) {
    std::optional<Status> answer;
    person.call({.to = holder->transport->self(),
                 .at = holder->transport->endpoint(),
                 .method = kGetSnapshot,
                 .deadline_ns = loop.now_ns() + kSecondNs},
                encode(BlobRequest{.key = snapshot_key(name), .offset = offset}),
                [&](const peers::Reply& reply) { answer = reply.status; });
    while (!answer) loop.step();
    return answer->code();
  }
  std::vector<ExpertName> held() const {
    std::vector<ExpertName> names;
    for (const Holding& holding : helper->store->holdings()) names.push_back(holding.name);
    return names;
  }

  SwarmSpec spec = [] {
    SwarmSpec s = test_spec();
    s.replicas = 1;
    return s;
  }();
  moe::TestCompute machine{1};
  base::VirtualLoop loop;
  std::shared_ptr<peers::LoopbackNetwork> network = std::make_shared<peers::LoopbackNetwork>(loop);
  Gossip gossip{loop};
  peers::LoopbackTransport person{network, test_peer(9), peers::Endpoint{"person", 9}};
  std::optional<TestNode> holder, helper;
  std::optional<Status> status;  // of the last begin()
};

// Those that could be made came, the command failed, and whoever gave it again had them twice.
TEST_F(AddedExperts, ComeInAllLayersOrInNone) {
  start();
  ASSERT_TRUE(add({.layer = 0}).ok());
  EXPECT_THAT(held(), ElementsAre(expert_name(0, 8)));
  const AddExpert copies{.layer = -1, .from = AddExpert::From::given, .source = ExpertId{8}};
  EXPECT_EQ(add(copies).code(), absl::StatusCode::kNotFound) << "the second layer has no expert 8";
  EXPECT_THAT(held(), ElementsAre(expert_name(0, 8)));
  PeerState said;
  helper->host->describe(said);
  EXPECT_THAT(said.newcomers, IsEmpty());
  EXPECT_EQ(said.held.size(), 1u);
  ASSERT_TRUE(add({.layer = 1}).ok());
  ASSERT_TRUE(add(copies).ok());
  EXPECT_THAT(held(),
              ElementsAre(expert_name(0, 8), expert_name(0, 9), expert_name(1, 8), expert_name(1, 9)));
}

// A layer that is not there was refused as "ask another": all hosts were asked.
TEST_F(AddedExperts, ComeInLayersThatThereAre) {
  start();
  EXPECT_EQ(add({.layer = 2}).code(), absl::StatusCode::kInvalidArgument);
  helper->host->leave([] {});
  EXPECT_EQ(add({.layer = 2}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(add({.layer = 1}).code(), absl::StatusCode::kFailedPrecondition);
}

// The copies of all layers were asked for at once, one too many for the source: none came, ever.
TEST_F(AddedExperts, AreCopiedOneAfterTheOther) {
  spec.shape = {.d = 128, .h = 256};  // two chunks
  start({.copies_max = 4});           // one for each peer
  EXPECT_TRUE(add({.layer = -1, .from = AddExpert::From::given, .source = ExpertId{3}}).ok());
  EXPECT_THAT(held(), ElementsAre(expert_name(0, 8), expert_name(1, 8)));
}

TEST_F(AddedExperts, WaitForASourceThatIsBusy) {
  spec.shape = {.d = 128, .h = 256};
  start({.copies_max = 1});
  ASSERT_EQ(ask_for_chunk(expert_name(1, 5), 0), absl::StatusCode::kOk);
  begin({.layer = 1, .from = AddExpert::From::given, .source = ExpertId{3}});
  loop.run_for(10 * kSecondNs);
  EXPECT_FALSE(status.has_value());
  ASSERT_EQ(ask_for_chunk(expert_name(1, 5), kBlobChunkBytes), absl::StatusCode::kOk);
  EXPECT_TRUE(end().ok());
  EXPECT_THAT(held(), ElementsAre(expert_name(1, 8)));
}

// The command asks the next host where one has no room.
TEST_F(AddedExperts, ASourceThatIsBusyForLongIsNoReasonToAskAnotherHost) {
  start({.copies_max = 0});
  EXPECT_EQ(add(kCopy).code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(held(), IsEmpty());
}

TEST_F(AddedExperts, DoNotComeWhenNobodyWaitsForThem) {
  start();
  const peers::CallId call = begin(kCopy);
  holder->loop.stop();
  loop.run_for(kSecondNs);
  person.cancel(call);
  holder->loop.go_on();
  loop.run_for(kSecondNs);
  EXPECT_THAT(held(), IsEmpty());
}

// It led them when others took it for gone.
TEST_F(AddedExperts, DoNotComeToAHostThatLeaves) {
  start();
  begin(kCopy);
  holder->loop.stop();
  loop.run_for(kSecondNs);
  helper->host->leave([] {});
  holder->loop.go_on();
  EXPECT_EQ(end().code(), absl::StatusCode::kFailedPrecondition) << "another is asked";
  EXPECT_THAT(held(), IsEmpty());
}

// Two that are told to add do not know of each other's numbers until they have added. Both led the same one:
// one of them was lost.
TEST_F(AddedExperts, DoNotComeUnderANumberThatAnotherHasGiven) {
  start();
  begin(kCopy);
  holder->loop.stop();
  loop.run_for(kSecondNs);
  StoppableLoop other_loop{loop};
  Gossip::Member other{gossip, other_loop, test_peer(7), peers::Endpoint{"other", 7}};
  other.publish(encode(PeerState{.host = true, .held = {{LayerId{1}, 8, 1, true, 1, 0, {}}}}));
  loop.run_for(kSecondNs);
  holder->loop.go_on();
  EXPECT_EQ(end().code(), absl::StatusCode::kAborted);
  EXPECT_THAT(held(), IsEmpty());
}

}  // namespace
}  // namespace agora::swarm
