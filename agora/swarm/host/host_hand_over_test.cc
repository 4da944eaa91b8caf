// Hosts that hand over to one that is slow, or that comes for the last snapshot and goes no further.
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "agora/swarm/host/host_messages.h"
#include "agora/swarm/host/snapshot.h"
#include "agora/swarm/host/test_node.h"
#include "agora/swarm/wire/blob.h"
#include "agora/swarm/wire/method.h"
#include <gtest/gtest.h>

namespace agora::swarm {
namespace {

constexpr ExpertName kExpert{LayerId{0}, ExpertId{0}};
constexpr uint64_t kToTheEnd = UINT64_MAX;

// A follower that ranks better than the leader. Asked to lead, it fetches the last snapshot at its own pace.
// It may find that the other one ranks better, and hand the expert back.
class Taker {
 public:
  Taker(base::VirtualLoop& world, const std::shared_ptr<peers::LoopbackNetwork>& network, Gossip& gossip)
      : loop_(world),
        transport_(network, test_peer(1), peers::Endpoint{"taker", 1}),
        directory_(gossip, loop_, test_peer(1), transport_.endpoint()) {
    transport_.serve(kHandOver, [this](std::shared_ptr<peers::IncomingCall> call) {
      ++asked;
      call_ = std::move(call);
      snapshot_.clear();
      ask(0);
    });
    transport_.serve(kGetSnapshot, [this](const std::shared_ptr<peers::IncomingCall>& call) {
      serve_blob(*call, [this](std::string_view) { return blob_of(peers::Payload::own(snapshot_)); });
    });
  }
  ~Taker() { transport_.stop(); }

  // Follows what this leader leads.
  void follow(const TestNode& leader) {
    leader_ = &leader;
    say(false, 1);
  }

  int64_t pace_ns = 0;             // between chunks
  uint64_t bytes_max = kToTheEnd;  // that it fetches before it stops
  bool gives_back = false;
  bool dies = false;  // before it is heard to lead
  int asked = 0;      // to lead

 private:
  void say(bool leads, uint32_t epoch) {
    directory_.publish(encode(PeerState{
        .host = true, .held = {{kExpert.layer, kExpert.expert.value, 1, leads, epoch, 1, {}}}, .room = 9}));
  }
  void ask(uint64_t offset) {
    transport_.call({.to = leader_->transport->self(),
                     .at = leader_->transport->endpoint(),
                     .method = kGetSnapshot,
                     .deadline_ns = loop_.now_ns() + kBlobChunkNsMax},
                    encode(BlobRequest{.key = last_snapshot_key(kExpert), .offset = offset}),
                    [this, offset](const peers::Reply& reply) { take(offset, reply); });
  }
  void take(uint64_t offset, const peers::Reply& reply) {
    if (!reply.status.ok()) return call_->reply(reply.status);
    const StatusOr<BlobChunk> chunk = read_blob_chunk(reply.payload.bytes());
    snapshot_.insert(snapshot_.end(), chunk->bytes.begin(), chunk->bytes.end());
    const uint64_t end = offset + chunk->bytes.size();
    if (end >= chunk->total) {
      call_->reply(absl::OkStatus());
      if (dies) return loop_.post([this] { transport_.stop(); });
      say(true, epoch_ += 9);
      if (gives_back) loop_.after(kSecondNs, [this] { give_back(); });
      return;
    }
    if (end < bytes_max) loop_.after(pace_ns, [this, end] { ask(end); });
  }
  void give_back() {
    transport_.call({.to = leader_->transport->self(),
                     .at = leader_->transport->endpoint(),
                     .method = kHandOver,
                     .deadline_ns = loop_.now_ns() + kBlobChunkNsMax},
                    encode_expert(kExpert), [this](const peers::Reply& reply) {
                      ASSERT_TRUE(reply.status.ok()) << reply.status;
                      say(false, epoch_);
                    });
  }

  StoppableLoop loop_;
  peers::LoopbackTransport transport_;
  Gossip::Member directory_;
  const TestNode* leader_ = nullptr;
  std::shared_ptr<peers::IncomingCall> call_;
  std::vector<std::byte> snapshot_;
  uint32_t epoch_ = 1;
};

class HandOver : public testing::Test {
 protected:
  static SwarmSpec spec() {
    SwarmSpec spec = test_spec();
    spec.layers = spec.experts = spec.experts_max = 1;
    spec.shape = {.d = 512, .h = 570};  // eleven chunks
    spec.rows_per_step = 1;
    return spec;
  }
  void until_led() {
    while (!leader.leads(kExpert)) ASSERT_TRUE(loop.step());
    taker.follow(leader);
    follower_says.publish(encode(PeerState{.host = true}));
    loop.run_for(kSecondNs);  // until it has heard of it
  }
  // For the expert's snapshot, or for its next chunk.
  absl::StatusCode ask(peers::Transport& peer, uint64_t offset) {
    std::optional<Status> status;
    peer.call({.to = leader.transport->self(),
               .at = leader.transport->endpoint(),
               .method = kGetSnapshot,
               .deadline_ns = loop.now_ns() + kSecondNs},
              encode(BlobRequest{.key = snapshot_key(kExpert), .offset = offset}),
              [&](const peers::Reply& reply) { status = reply.status; });
    while (!status) loop.step();
    return status->code();
  }
  absl::StatusCode follower_asks(uint64_t offset = 0) { return ask(follower, offset); }
  absl::StatusCode saver_asks(uint64_t offset = 0) { return ask(saver, offset); }
  bool takes_updates() {
    Rng rng(++step);
    const auto x = moe::random_rows(rng, 1, 512), dy = moe::random_rows(rng, 1, 512);
    auto y = moe::random_rows(rng, 1, 512), dx = moe::random_rows(rng, 1, 512);
    moe::Route route;
    route.first = {0, 1};
    route.expert = {0};
    route.weight = {1.0f};
    std::vector<float> dweights(1);
    const auto mixed = leader.store->mix(LayerId{0}, x.view(), route, moe::Keep::for_backward, y.view());
    return leader.store
        ->mix_backward(update_key(step), mixed->ticket, dy.view(), dx.view(), dweights,
                       [](UpdateOutcome) { return peers::Payload{}; })
        .ok();
  }

  base::VirtualLoop loop;
  std::shared_ptr<peers::LoopbackNetwork> network = std::make_shared<peers::LoopbackNetwork>(loop);
  Gossip gossip{loop};
  moe::TestCompute machine{1};
  TestNode leader{loop, network, gossip, machine, spec(), 2, {}};
  Taker taker{loop, network, gossip};
  peers::LoopbackTransport follower{network, test_peer(3), peers::Endpoint{"follower", 3}};
  StoppableLoop follower_loop{loop};
  Gossip::Member follower_says{gossip, follower_loop, test_peer(3), follower.endpoint()};
  peers::LoopbackTransport saver{network, test_peer(4), peers::Endpoint{"saver", 4}};  // no host
  uint64_t step = 0;
};

// The whole had 15 s: a chunk every two took longer, each time that it was tried.
TEST_F(HandOver, ReachesOneThatIsSlow) {
  taker.pace_ns = 2 * kSecondNs;
  until_led();
  loop.run_for(60 * kSecondNs);
  EXPECT_EQ(leader.host->status().handed_over, 1u);
  EXPECT_EQ(leader.host->status().hand_overs_failed, 0u);
  EXPECT_FALSE(leader.leads(kExpert));
}

TEST_F(HandOver, ReachesOneThatIsSlowFromAHostThatLeaves) {
  taker.pace_ns = 2 * kSecondNs;
  until_led();
  bool left = false;
  leader.host->leave([&] { left = true; });
  while (!left) ASSERT_TRUE(loop.step());
  EXPECT_EQ(leader.host->status().hand_overs_failed, 0u);
  EXPECT_FALSE(leader.leads(kExpert));
}

// Followers of eight experts took all of a home's line, and each hand-over was given up.
TEST_F(HandOver, AndFollowersHaveTheirTurns) {
  taker.pace_ns = 2 * kSecondNs;
  until_led();
  EXPECT_EQ(follower_asks(), absl::StatusCode::kOk);
  while (taker.asked == 0) ASSERT_TRUE(loop.step());
  int turns = 0;
  for (bool served = true; leader.leads(kExpert);) {
    const int64_t begin_ns = loop.now_ns();
    while (leader.leads(kExpert) && (follower_asks() == absl::StatusCode::kOk) != served) {
      loop.run_for(100 * kMillisecondNs);
    }
    EXPECT_LE(loop.now_ns() - begin_ns, 5 * kSecondNs) << "half the loss window";
    served = !served;
    ++turns;
  }
  EXPECT_GE(turns, 4);
}

TEST_F(HandOver, OfOneThatLeavesComesBeforeFollowers) {
  taker.pace_ns = 2 * kSecondNs;
  until_led();
  EXPECT_EQ(follower_asks(), absl::StatusCode::kOk);
  leader.host->leave([] {});
  EXPECT_EQ(follower_asks(kBlobChunkBytes), absl::StatusCode::kUnavailable);
  while (leader.leads(kExpert)) {
    EXPECT_EQ(follower_asks(), absl::StatusCode::kResourceExhausted);
    loop.run_for(kSecondNs);
  }
}

// A swarm was not saved while one of its hosts left: who saves asks again for three seconds.
TEST_F(HandOver, KeepsNobodyWaitingWhoSaves) {
  taker.pace_ns = 2 * kSecondNs;
  until_led();
  EXPECT_EQ(saver_asks(), absl::StatusCode::kOk);
  leader.host->leave([] {});
  EXPECT_EQ(saver_asks(kBlobChunkBytes), absl::StatusCode::kOk) << "its copy is kept";
  EXPECT_EQ(follower_asks(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(saver_asks(), absl::StatusCode::kOk);
}

// If its host is killed now, a follower leads.
TEST_F(HandOver, ThatDoesNotMoveKeepsNoFollowerWaiting) {
  taker.bytes_max = 1;
  until_led();
  leader.host->leave([] {});
  for (int i = 0; i < 5; ++i) {
    const int64_t begin_ns = loop.now_ns();
    while (follower_asks() != absl::StatusCode::kOk) loop.run_for(100 * kMillisecondNs);
    EXPECT_LE(loop.now_ns() - begin_ns, 5 * kSecondNs);
    loop.run_for(5 * kSecondNs);
  }
  EXPECT_TRUE(leader.leads(kExpert));
}

// It was asked again at once, for ever: six updates in seven found the expert frozen.
TEST_F(HandOver, WaitsLongerEachTimeThatItFails) {
  taker.bytes_max = 1;
  until_led();
  int refused = 0;
  for (int s = 0; s < 600; ++s) {
    loop.run_for(kSecondNs);
    refused += takes_updates() ? 0 : 1;
  }
  EXPECT_GT(refused, 0);
  EXPECT_LT(refused, 60);
  EXPECT_GE(taker.asked, 2);
  EXPECT_LT(taker.asked, 8);
}

// Who leaves does not wait for the end of a pause that is longer than the time it has.
TEST_F(HandOver, IsTriedAgainByAHostThatLeaves) {
  taker.bytes_max = 1;
  until_led();
  loop.run_for(300 * kSecondNs);  // until a pause is longer than the time to leave
  taker.bytes_max = kToTheEnd;
  bool left = false;
  leader.host->leave([&] { left = true; });
  loop.run_for(20 * kSecondNs);
  EXPECT_TRUE(left);
  EXPECT_FALSE(leader.leads(kExpert));
}

TEST_F(HandOver, KeepsNobodyThatLeavesBeyondItsTime) {
  taker.bytes_max = 1;
  until_led();
  bool left = false;
  leader.host->leave([&] { left = true; });
  loop.run_for(61 * kSecondNs);
  EXPECT_TRUE(left);
  EXPECT_GE(taker.asked, 2);
}

// Its record still lives, and says nothing new: meanwhile one with older weights could lead.
TEST_F(HandOver, IsTakenBackSoonFromOneThatDied) {
  taker.dies = true;
  until_led();
  while (leader.leads(kExpert)) ASSERT_TRUE(loop.step());
  loop.run_for(7 * kSecondNs);
  EXPECT_TRUE(leader.leads(kExpert));
}

// Hosts that know different hosts disagree about who should lead: the expert went to and fro every second.
TEST_F(HandOver, DoesNotGoToAndFro) {
  taker.gives_back = true;
  until_led();
  loop.run_for(60 * kSecondNs);
  EXPECT_EQ(leader.host->status().hand_overs_failed, 0u);
  EXPECT_GE(taker.asked, 2);
  EXPECT_LE(taker.asked, 6);
}

}  // namespace
}  // namespace agora::swarm
