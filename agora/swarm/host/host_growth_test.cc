// What was added and retired, when every host of the swarm ends and starts again.
#include <optional>

#include "agora/base/test_folder.h"
#include "agora/swarm/host/host_messages.h"
#include "agora/swarm/host/test_node.h"
#include "agora/swarm/wire/method.h"
#include <gmock/gmock.h>

namespace agora::swarm {
namespace {

class GrownHosts : public testing::Test {
 protected:
  void start_hosts() {
    for (int i = 1; i <= 2; ++i) {
      nodes.push_back(std::make_unique<TestNode>(loop, network, gossip, machine, spec, i,
                                                 HostOptions{.folder = experts_of(i),
                                                             .gates_close = gates_close,
                                                             .save_ns = save_ns,
                                                             .retire_grace_ns = kSecondNs}));
    }
    loop.run_for(60 * kSecondNs);
  }
  void kill_hosts() {
    for (const auto& node : nodes) node->expire();
    nodes.clear();
    loop.run_for(60 * kSecondNs);
  }
  std::string experts_of(int host) const { return folder.path("host-" + std::to_string(host)); }
  std::string retired_of(int host) const { return experts_of(host) + "/retired"; }

  peers::Reply ask(peers::Method method, const peers::Payload& request) {
    std::optional<peers::Reply> answer;
    nodes[1]->transport->call({.to = nodes[0]->transport->self(),
                               .at = nodes[0]->transport->endpoint(),
                               .method = method,
                               .deadline_ns = loop.now_ns() + 5 * kSecondNs},
                              request, [&](peers::Reply reply) { answer = std::move(reply); });
    loop.run_for(6 * kSecondNs);
    AGORA_CHECK(answer.has_value());
    return *std::move(answer);
  }
  ExpertName add(const AddExpert& request = {.layer = 0}) {
    const peers::Reply added = ask(kAddExpert, encode(request));
    AGORA_CHECK(added.status.ok());
    return read_experts(added.payload.bytes())->front();
  }
  void retire(ExpertName name) { EXPECT_TRUE(ask(kRetireExpert, encode_expert(name)).status.ok()); }
  bool held(ExpertName name) const {
    return std::ranges::any_of(
        nodes, [&](const auto& n) { return n->store->experts().holds(name.layer, name.expert); });
  }
  std::vector<float> weights(ExpertName name) const {
    for (const auto& node : nodes) {
      if (node->store->experts().holds(name.layer, name.expert)) return numbers_of(*node->store, name);
    }
    return {};
  }
  std::vector<RetiredRange> said_retired(size_t node) const {
    PeerState state;
    nodes[node]->host->describe(state);
    return state.retired;
  }

  int64_t save_ns = kSecondNs;
  bool gates_close = true;
  base::TestFolder folder;
  SwarmSpec spec = test_spec();
  moe::TestCompute machine{1};
  base::VirtualLoop loop;
  std::shared_ptr<peers::LoopbackNetwork> network = std::make_shared<peers::LoopbackNetwork>(loop);
  Gossip gossip{loop};
  std::vector<std::unique_ptr<TestNode>> nodes;
};

TEST_F(GrownHosts, HaveNotForgottenWhatIsRetiredWhenAllStartAgain) {
  start_hosts();
  const ExpertName first = expert_name(1, 2), added = add();
  ASSERT_EQ(added, expert_name(0, 8));
  retire(first);
  retire(added);
  loop.run_for(10 * kSecondNs);
  ASSERT_FALSE(held(first));
  kill_hosts();
  start_hosts();
  EXPECT_FALSE(held(first));
  EXPECT_FALSE(held(added));
  EXPECT_TRUE(held(expert_name(1, 3)));
  for (const size_t node : {0, 1}) {
    EXPECT_THAT(said_retired(node),
                testing::ElementsAre(RetiredRange{LayerId{0}, 8, 1}, RetiredRange{LayerId{1}, 2, 1}));
  }
  EXPECT_EQ(add(), expert_name(0, 9)) << "its number is not given again";
}

// Gates keep it closed at first, so it has taken no updates. It began anew from first weights, which nobody
// expected of a copy.
TEST_F(GrownHosts, HaveACopyThatIsNotTrainedYetWhenAllStartAgain) {
  start_hosts();
  const ExpertName copy = add({.layer = 0, .from = AddExpert::From::given, .source = ExpertId{3}});
  const std::vector<float> before = weights(copy);
  ASSERT_FALSE(before.empty());
  kill_hosts();
  start_hosts();
  EXPECT_EQ(weights(copy), before);
}

// Killed before the next round of saving.
TEST_F(GrownHosts, WriteDownAtOnceWhatTheyAreAskedToRetire) {
  save_ns = 3600 * kSecondNs;
  start_hosts();
  retire(expert_name(1, 2));
  EXPECT_TRUE(std::filesystem::exists(retired_of(1)));
  EXPECT_FALSE(std::filesystem::exists(retired_of(2))) << "it hears of it from the other";
  kill_hosts();
  start_hosts();
  EXPECT_FALSE(held(expert_name(1, 2)));
}

TEST_F(GrownHosts, StartBesideATornListAndHearOfOthersWhatIsRetired) {
  start_hosts();
  retire(expert_name(1, 2));
  loop.run_for(10 * kSecondNs);
  kill_hosts();
  std::filesystem::resize_file(retired_of(1), std::filesystem::file_size(retired_of(1)) - 1);
  start_hosts();
  EXPECT_FALSE(held(expert_name(1, 2)));
  EXPECT_TRUE(held(expert_name(1, 3)));
  EXPECT_THAT(said_retired(0), testing::ElementsAre(RetiredRange{LayerId{1}, 2, 1}));
  kill_hosts();
  std::filesystem::remove(retired_of(2));
  start_hosts();
  EXPECT_FALSE(held(expert_name(1, 2))) << "the list was written anew";
}

TEST_F(GrownHosts, DoNotTakeOverWhatAnotherSwarmHasRetired) {
  start_hosts();
  retire(expert_name(1, 2));
  loop.run_for(10 * kSecondNs);
  kill_hosts();
  spec.name = "another";
  start_hosts();
  EXPECT_TRUE(held(expert_name(1, 2)));
  EXPECT_THAT(nodes[0]->host->status().trouble, testing::HasSubstr("another swarm's"));
}

TEST_F(GrownHosts, RetireNothingThatGatesWouldGoOnChoosing) {
  gates_close = false;
  start_hosts();
  const Status refused = ask(kRetireExpert, encode_expert(expert_name(1, 2))).status;
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument) << refused;
  EXPECT_TRUE(said_retired(0).empty());
}

TEST_F(GrownHosts, WriteTheListLaterWhereTheDiskFails) {
  std::filesystem::create_directories(retired_of(1));  // nothing can be written over a folder
  std::filesystem::create_directories(retired_of(1) + "/in the way");
  start_hosts();
  retire(expert_name(1, 2));
  EXPECT_THAT(nodes[0]->host->status().trouble, testing::HasSubstr("retired"));
  std::filesystem::remove_all(retired_of(1));
  loop.run_for(10 * kSecondNs);
  EXPECT_TRUE(std::filesystem::is_regular_file(retired_of(1)));
}

}  // namespace
}  // namespace agora::swarm
