#include "agora/peers/transport/faulty_transport.h"

#include "agora/base/virtual_loop.h"
#include "agora/peers/identity/identity.h"
#include "agora/peers/transport/loopback.h"
#include <gtest/gtest.h>

namespace agora::peers {
namespace {

using base::kMillisecondNs;
using base::kSecondNs;
constexpr Method kEcho{20};

class FaultyTransportTest : public testing::Test {
 protected:
  void SetUp() override {
    b_.serve(kEcho, [this](std::shared_ptr<IncomingCall> call) {
      ++served_;
      call->part(call->payload());
      call->reply(absl::OkStatus(), call->payload());
    });
  }

  // Calls from a to b and runs a second of virtual time.
  void call() {
    const int64_t began_ns = loop_.now_ns();
    a_.call({.to = b_.self(), .at = b_.endpoint(), .method = kEcho, .deadline_ns = began_ns + kSecondNs},
            Payload::own({std::byte{7}}),
            {.done =
                 [this, began_ns](Reply reply) {
                   ++replies_;
                   good_ += reply.status.ok() ? 1 : 0;
                   late_ += absl::IsDeadlineExceeded(reply.status) ? 1 : 0;
                   took_ns_ = loop_.now_ns() - began_ns;
                 },
             .part = [this](Payload) { parts_ += replies_ == 0 ? 1 : 100; }});
  }
  void run() { loop_.run_for(2 * kSecondNs); }

  base::VirtualLoop loop_;
  const std::shared_ptr<LoopbackNetwork> network_ = std::make_shared<LoopbackNetwork>(loop_);
  LoopbackTransport inner_a_{network_, Identity::from_seed(1).id(), {"loop", 1}};
  LoopbackTransport inner_b_{network_, Identity::from_seed(2).id(), {"loop", 2}};
  FaultyTransport a_{inner_a_, loop_, Rng(1), {}};
  FaultyTransport b_{inner_b_, loop_, Rng(2), {}};
  int served_ = 0, replies_ = 0, good_ = 0, late_ = 0, parts_ = 0;
  int64_t took_ns_ = 0;
};

TEST_F(FaultyTransportTest, DelaysEachWay) {
  a_.set_faults({.delay_ns = 50 * kMillisecondNs});
  call();
  run();
  EXPECT_EQ(good_, 1);
  EXPECT_EQ(parts_, 1);
  EXPECT_EQ(took_ns_, 100 * kMillisecondNs);
  a_.set_faults({});
  call();
  run();
  EXPECT_EQ(took_ns_, 0);
}

TEST_F(FaultyTransportTest, LosesItsShareAndTheDeadlineEndsThose) {
  a_.set_faults({.loss = 0.3});
  for (int i = 0; i < 1000; ++i) call();
  run();
  EXPECT_EQ(replies_, 1000);
  EXPECT_EQ(good_ + late_, 1000);
  EXPECT_NEAR(good_, 490, 60);    // 0.7 squared: each way has its own loss
  EXPECT_NEAR(served_, 700, 60);  // some of these answers were lost
}

TEST_F(FaultyTransportTest, DuplicatesRequestsButNeverReplies) {
  a_.set_faults({.duplicate = 1});
  for (int i = 0; i < 10; ++i) call();
  run();
  EXPECT_EQ(served_, 20);
  EXPECT_EQ(good_, 10);
  EXPECT_EQ(replies_, 10);
}

TEST_F(FaultyTransportTest, AnythingMayOvertakeButPartsNotTheirReply) {
  a_.set_faults({.jitter_ns = 10 * kMillisecondNs, .reorder = 0.5, .reorder_ns = 100 * kMillisecondNs});
  for (int i = 0; i < 100; ++i) {
    replies_ = parts_ = 0;
    call();
    run();
    EXPECT_EQ(replies_, 1);
    EXPECT_EQ(parts_, 1);
  }
  EXPECT_GT(a_.faults_seen().held_back, 50u);
}

TEST_F(FaultyTransportTest, BlackHolesSwallowBothWays) {
  a_.set_faults({.to = {b_.self()}});
  call();
  run();
  EXPECT_EQ(late_, 1);
  EXPECT_EQ(served_, 0);
  a_.set_faults({.from = {b_.self()}});
  call();
  run();
  EXPECT_EQ(late_, 2);
  EXPECT_EQ(served_, 1);
  a_.set_faults({});
  b_.set_faults({.from_nobody = true});
  call();
  run();
  EXPECT_EQ(late_, 3);
  EXPECT_EQ(served_, 1);
  b_.set_faults({.to_nobody = true});
  call();
  run();
  EXPECT_EQ(late_, 4);
  EXPECT_EQ(served_, 2);
  b_.set_faults({});
  call();
  run();
  EXPECT_EQ(good_, 1);
}

}  // namespace
}  // namespace agora::peers
