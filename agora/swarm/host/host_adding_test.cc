// Experts that a person adds: all that were asked for, or none.
#include <memory>
#include <optional>
#include <vector>

#include "agora/swarm/host/host_messages.h"
#include "agora/swarm/host/test_node.h"
#include "agora/swarm/wire/method.h"
#include <gmock/gmock.h>

namespace agora::swarm {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class AddedExperts : public testing::Test {
 protected:
  // One leads every expert, the other none.
  void start(const HostOptions& options = {}) {
    holder.emplace(loop, network, gossip, machine, spec, 1, options);
    loop.run_for(20 * kSecondNs);
    helper.emplace(loop, network, gossip, machine, spec, 2, HostOptions{.settle_ns = 3600 * kSecondNs});
    loop.run_for(3 * kSecondNs);
  }
  Status add(const AddExpert& request, int64_t within_ns = 10 * kSecondNs) {
    std::optional<Status> status;
    person.call({.to = helper->transport->self(),
                 .at = helper->transport->endpoint(),
                 .method = kAddExpert,
                 .deadline_ns = loop.now_ns() + within_ns},
                encode(request), [&](const peers::Reply& reply) { status = reply.status; });
    while (!status) loop.step();
    loop.run_for(kSecondNs);
    return *status;
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

// The command asks the next host where one has no room.
TEST_F(AddedExperts, ASourceThatIsBusyIsNoReasonToAskAnotherHost) {
  start({.copies_max = 0});
  const AddExpert copy{.layer = 1, .from = AddExpert::From::given, .source = ExpertId{3}};
  EXPECT_EQ(add(copy).code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(held(), IsEmpty());
}

TEST_F(AddedExperts, DoNotComeWhenNobodyWaitsForThem) {
  start();
  std::optional<Status> status;
  const peers::CallId call =
      person.call({.to = helper->transport->self(),
                   .at = helper->transport->endpoint(),
                   .method = kAddExpert,
                   .deadline_ns = loop.now_ns() + 10 * kSecondNs},
                  encode(AddExpert{.layer = 1, .from = AddExpert::From::given, .source = ExpertId{3}}),
                  [&](const peers::Reply& reply) { status = reply.status; });
  holder->loop.stop();
  loop.run_for(kSecondNs);
  person.cancel(call);
  holder->loop.go_on();
  loop.run_for(kSecondNs);
  EXPECT_THAT(held(), IsEmpty());
}

}  // namespace
}  // namespace agora::swarm
