// Hosts that were away and come back - stopped and continued, cut off by the network, started again with an
// old disk - on virtual time: nothing that was learned meanwhile goes for what they remember.
#include <filesystem>
#include <functional>
#include <map>
#include <set>

#include "agora/base/test_folder.h"
#include "agora/swarm/host/test_node.h"
#include <gmock/gmock.h>

namespace agora::swarm {
namespace {

constexpr int kHosts = 4;

class AbsenceTest : public testing::Test {
 protected:
  AbsenceTest() {
    for (int i = 0; i < kHosts; ++i) nodes.push_back(start(i));
  }
  std::unique_ptr<TestNode> start(int i) {
    HostOptions options;
    options.folder = folder.path("host-" + std::to_string(i));
    options.save_ns = 5 * kSecondNs;
    return std::make_unique<TestNode>(loop, network, gossip, machine, spec, i + 1, options);
  }
  // An update of every expert where it is led; nobody asks the one that is away.
  void train(uint64_t step, const TestNode* without = nullptr) {
    for (int64_t layer = 0; layer < spec.layers; ++layer) {
      for (const auto& node : nodes) {
        if (node.get() == without) continue;
        TestCall call(step, 16, spec.experts, spec.experts);
        call.train(*node->store, update_key(step, 0, layer)).status().IgnoreError();
        node->store->step_what_is_due(0);
      }
    }
  }
  void train_and_save() {
    loop.run_for(60 * kSecondNs);
    train(1);
    loop.run_for(20 * kSecondNs);
  }
  void kill_first() {
    nodes[0]->expire();
    nodes.erase(nodes.begin());
  }
  // What gates train on: the version of the leader with the highest epoch.
  std::map<ExpertName, uint64_t> versions() const {
    std::map<ExpertName, std::pair<uint32_t, uint64_t>> best;
    for (const auto& node : nodes) {
      for (const Holding& holding : node->store->holdings()) {
        if (holding.role != Role::leader) continue;
        best[holding.name] = std::max(best[holding.name], {holding.epoch, holding.version});
      }
    }
    std::map<ExpertName, uint64_t> result;
    for (const auto& [name, leader] : best) result[name] = leader.second;
    return result;
  }
  // From now on, at every look, nothing of what was learned has gone.
  void expect_nothing_forgotten(const std::map<ExpertName, uint64_t>& learned, int64_t for_ns) {
    for (const int64_t end_ns = loop.now_ns() + for_ns; loop.now_ns() < end_ns;) {
      loop.run_for(20 * kMillisecondNs);
      for (const auto& [name, version] : versions()) {
        ASSERT_GE(version, learned.at(name))
            << "layer " << name.layer.value << " expert " << name.expert.value;
      }
    }
  }
  uint64_t lost() const {
    uint64_t sum = 0;
    for (const auto& node : nodes) sum += node->host->status().lost;
    return sum;
  }
  bool until(const std::function<bool()>& condition, int64_t limit_ns) {
    for (const int64_t end_ns = loop.now_ns() + limit_ns; loop.now_ns() < end_ns && !condition();) {
      loop.run_for(20 * kMillisecondNs);
    }
    return condition();
  }
  // Leaders of each expert among the nodes, but for one of them.
  std::map<ExpertName, uint32_t> led(const TestNode* without = nullptr) const {
    std::map<ExpertName, uint32_t> epochs;
    for (const auto& node : nodes) {
      if (node.get() == without) continue;
      for (const Holding& holding : node->store->holdings()) {
        if (holding.role == Role::leader) epochs[holding.name] = holding.epoch;
      }
    }
    return epochs;
  }
  size_t leaders() const {
    size_t count = 0;
    for (const auto& node : nodes) count += led_by(*node);
    return count;
  }
  static size_t led_by(const TestNode& node) {
    const auto holdings = node.store->holdings();
    return static_cast<size_t>(std::count_if(holdings.begin(), holdings.end(),
                                             [](const Holding& h) { return h.role == Role::leader; }));
  }
  size_t experts() const { return static_cast<size_t>(spec.layers * spec.experts); }
  bool settled() const { return leaders() == experts() && led().size() == experts(); }

  base::TestFolder folder;
  SwarmSpec spec = [] {
    SwarmSpec s = test_spec();
    s.rows_per_step = 1;
    return s;
  }();
  moe::TestCompute machine{1};
  base::VirtualLoop loop;
  std::shared_ptr<peers::LoopbackNetwork> network = std::make_shared<peers::LoopbackNetwork>(loop);
  Gossip gossip{loop};
  std::vector<std::unique_ptr<TestNode>> nodes;
};

TEST_F(AbsenceTest, OthersLeadWithinThreeSeconds) {
  loop.run_for(60 * kSecondNs);  // filled, and the probes know how soon leaders answer
  ASSERT_TRUE(settled());
  TestNode& stopped = *nodes[0];
  ASSERT_GT(led_by(stopped), 0u);
  stopped.loop.stop();
  const int64_t stopped_ns = loop.now_ns();
  EXPECT_TRUE(until([&] { return led(&stopped).size() == experts(); }, 3 * kSecondNs));
  RecordProperty("takeover_ms", static_cast<int>((loop.now_ns() - stopped_ns) / kMillisecondNs));
}

TEST_F(AbsenceTest, AShortOneMovesNothing) {
  loop.run_for(60 * kSecondNs);
  const auto before = led();
  nodes[0]->loop.stop();
  loop.run_for(400 * kMillisecondNs);
  nodes[0]->loop.go_on();
  loop.run_for(10 * kSecondNs);
  EXPECT_EQ(led(), before);
}

// Longer than a record lives: the others have gone from its view when it wakes, and it from theirs.
TEST_F(AbsenceTest, WhoWakesUpStepsDownAndClaimsNothingOfTheOthers) {
  loop.run_for(60 * kSecondNs);
  train(1);
  loop.run_for(10 * kSecondNs);
  TestNode& stopped = *nodes[0];
  stopped.loop.stop();
  stopped.directory.expire(30 * kSecondNs);
  for (size_t i = 1; i < nodes.size(); ++i) {
    loop.after(30 * kSecondNs, [&, i] {
      stopped.directory.hear({peers::DirectoryEvent::Kind::gone,
                              std::make_shared<const peers::Record>(nodes[i]->directory.own())});
    });
  }
  loop.run_for(40 * kSecondNs);
  ASSERT_EQ(led(&stopped).size(), experts());
  for (uint64_t step = 2; step < 12; ++step) train(step, &stopped);
  const auto learned = versions();
  stopped.directory.be_deaf_for(1500 * kMillisecondNs);  // until it is in contact again
  stopped.loop.go_on();
  expect_nothing_forgotten(learned, 30 * kSecondNs);
  EXPECT_TRUE(until([&] { return settled(); }, 60 * kSecondNs));
  EXPECT_EQ(stopped.host->status().lost, 0u);
  EXPECT_GE(stopped.host->status().stood_still, 1u);
}

// It reads what its disk has before it has heard of anybody.
TEST_F(AbsenceTest, WhoComesBackWithAnOldDiskFollowsThoseWhoWentOn) {
  train_and_save();
  kill_first();
  ASSERT_TRUE(until([&] { return settled(); }, 40 * kSecondNs));
  for (uint64_t step = 2; step < 12; ++step) {
    train(step);
    loop.run_for(kSecondNs);
  }
  const auto learned = versions();
  nodes.push_back(start(0));
  expect_nothing_forgotten(learned, 30 * kSecondNs);
  EXPECT_GT(nodes.back()->host->status().restored, 0u);
  EXPECT_TRUE(until([&] { return settled() && led_by(*nodes.back()) > 0; }, 120 * kSecondNs));
  EXPECT_EQ(versions(), learned) << "leading again, it has what the others learned";
}

// All go, and the one that knows least comes back first: while it rests it hears that others are fresher, and
// lets them go first.
TEST_F(AbsenceTest, OfSeveralDisksTheFreshestGoesOn) {
  train_and_save();
  std::set<ExpertName> kept;
  for (const Holding& holding : nodes[0]->store->holdings()) kept.insert(holding.name);
  kill_first();
  ASSERT_TRUE(until([&] { return settled(); }, 60 * kSecondNs));
  loop.run_for(20 * kSecondNs);
  for (uint64_t step = 2; step < 12; ++step) train(step);
  auto learned = versions();
  for (auto& [name, version] : learned) {
    if (!kept.contains(name)) version = 0;  // alone, it begins anew what its disk does not have
  }
  loop.run_for(20 * kSecondNs);
  nodes.clear();
  loop.run_for(60 * kSecondNs);
  nodes.push_back(start(0));
  loop.run_for(3500 * kMillisecondNs);
  for (int i = 1; i < kHosts; ++i) nodes.push_back(start(i));
  expect_nothing_forgotten(learned, 30 * kSecondNs);
  EXPECT_TRUE(until([&] { return settled(); }, 60 * kSecondNs));
}

// A torn file says that the expert was trained: it is worth waiting for those who have it.
TEST_F(AbsenceTest, WhoCanNotReadItsDiskBeginsNothingAnew) {
  train_and_save();
  kill_first();
  size_t torn = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder.path("host-0"))) {
    std::filesystem::resize_file(file.path(), std::filesystem::file_size(file.path()) / 2);
    ++torn;
  }
  ASSERT_GT(torn, 0u);
  nodes.push_back(start(0));
  const auto begun_anew = [&] {
    const auto holdings = nodes.back()->store->holdings();
    return std::ranges::any_of(holdings, [](const Holding& h) { return h.version == 0; });
  };
  EXPECT_FALSE(until(begun_anew, 30 * kSecondNs));
  EXPECT_EQ(lost(), 0u);
  EXPECT_TRUE(until([&] { return settled() && led_by(*nodes.back()) > 0; }, 120 * kSecondNs));
}

// Somebody had come back for it, and went once more: what it has is worth waiting for as before.
TEST_F(AbsenceTest, AnOrphanIsWaitedForEachTimeAnew) {
  nodes.clear();
  spec.replicas = 1;
  for (int i = 0; i < 2; ++i) nodes.push_back(start(i));
  train_and_save();
  const auto learned = versions();
  for (int time = 0; time < 2; ++time) {
    ASSERT_GT(led_by(*nodes[0]), 0u);
    nodes[0]->directory.expire(kToldAfterNs);
    nodes.erase(nodes.begin());
    loop.run_for(6 * kSecondNs);  // less than orphan_grace_ns
    nodes.insert(nodes.begin(), start(0));
    EXPECT_TRUE(until([&] { return settled(); }, 30 * kSecondNs));
    EXPECT_EQ(versions(), learned);
    loop.run_for(20 * kSecondNs);
  }
  EXPECT_EQ(lost(), 0u);
}

// One host against three, for a minute; what only the others hold is not lost because it can not see them.
TEST_F(AbsenceTest, WhoIsCutOffGivesBirthToNothingThatTheOthersHave) {
  loop.run_for(60 * kSecondNs);
  train(1);
  loop.run_for(10 * kSecondNs);
  nodes[0]->directory.be_in(1);
  const auto split = [&](size_t to, size_t from) {
    nodes[to]->directory.hear({peers::DirectoryEvent::Kind::gone,
                               std::make_shared<const peers::Record>(nodes[from]->directory.own())});
  };
  loop.after(30 * kSecondNs, [&] {
    for (size_t i = 1; i < nodes.size(); ++i) {
      split(0, i);
      split(i, 0);
    }
  });
  for (uint64_t step = 2; step < 60; ++step) {
    train(step);
    loop.run_for(kSecondNs);
  }
  nodes.front()->directory.be_in(0);
  EXPECT_EQ(lost(), 0u);
  const auto learned = versions();
  EXPECT_TRUE(until([&] { return settled(); }, 60 * kSecondNs));
  for (const auto& [name, version] : versions()) {
    EXPECT_GE(version + static_cast<uint64_t>(spec.loss_window_s), learned.at(name))
        << "layer " << name.layer.value << " expert " << name.expert.value;
  }
}

}  // namespace
}  // namespace agora::swarm
