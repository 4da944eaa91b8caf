#include "agora/peers/transport/peer_table.h"

#include <vector>

#include "agora/base/virtual_loop.h"
#include "agora/peers/identity/identity.h"
#include "agora/peers/transport/fake_wire.h"
#include <gtest/gtest.h>

namespace agora::peers {
namespace {

PeerId peer(uint64_t seed) { return Identity::from_seed(seed).id(); }

TEST(PeerTable, AFailureIsOfWhomWasWantedWhere) {
  base::VirtualLoop loop;
  const auto context = std::make_shared<SessionContext>(loop, std::make_shared<Calls>(loop));
  PeerTable table(peer(1), context->limits);
  const auto dial = [&](uint64_t to) {
    return table.begin_dial({.to = peer(to), .at = {"host", 1}},
                            std::make_shared<Session>(context, Session::Role::dialer), loop.now_ns());
  };
  const auto wrong = dial(2);
  ASSERT_TRUE(wrong.ok()) << wrong.status();
  table.closed(*wrong, loop.now_ns());  // another peer lives there
  EXPECT_TRUE(absl::IsUnavailable(dial(2).status()));
  const auto right = dial(3);
  EXPECT_TRUE(right.ok()) << right.status();
  loop.run_for(context->limits.dial_again_ns_max);
  EXPECT_TRUE(dial(2).ok());
}

class PeerTableTest : public testing::Test {
 protected:
  static constexpr uint64_t kSelf = 1, kOther = 2;

  PeerTableTest() {
    context_->self = peer(kSelf);
    context_->opened = [](const auto&) { return absl::OkStatus(); };
    context_->closed = [](const auto&, const auto&) {};
  }
  ~PeerTableTest() override {
    for (const auto& session : sessions_) session->on_closed(absl::UnavailableError("the test has ended"));
  }
  // One that the other side dialed.
  std::shared_ptr<Session> accept(uint64_t incarnation, uint64_t dial) {
    const auto session = std::make_shared<Session>(context_, Session::Role::acceptor);
    open_session(*session, std::make_shared<FakeWire>(peer(kOther)),
                 {.incarnation = incarnation, .dial = dial, .nonce = {}});
    EXPECT_TRUE(session->open());
    sessions_.push_back(session);
    return session;
  }

  base::VirtualLoop loop_;
  const std::shared_ptr<SessionContext> context_ =
      std::make_shared<SessionContext>(loop_, std::make_shared<Calls>(loop_));
  PeerTable table_{peer(kSelf), context_->limits};
  std::vector<std::shared_ptr<Session>> sessions_;
};

TEST_F(PeerTableTest, OnePeerTakesFewPlaces) {
  using Sessions = std::vector<std::shared_ptr<Session>>;
  for (uint64_t dial = 1; dial <= 4; ++dial) EXPECT_TRUE(table_.opened(accept(7, dial)).close.empty());
  EXPECT_EQ(table_.opened(accept(7, 5)).close, Sessions{sessions_.front()});
  EXPECT_EQ(table_.open_count(), 4u);
  const auto late = accept(7, 1);  // it says that it dialed this one long ago
  EXPECT_EQ(table_.opened(late).close, Sessions{late});
  EXPECT_EQ(table_.open_count(), 4u);
  EXPECT_EQ(table_.opened(accept(8, 1)).close.size(), 4u);
  EXPECT_EQ(table_.open_count(), 1u);
  for (const auto& session : sessions_) table_.closed(session, loop_.now_ns());
  EXPECT_EQ(table_.open_count(), 0u);
}

}  // namespace
}  // namespace agora::peers
