#include "agora/peers/transport/session.h"

#include <algorithm>
#include <string>
#include <vector>

#include "agora/base/virtual_loop.h"
#include "agora/peers/identity/identity.h"
#include "agora/peers/transport/fake_wire.h"
#include <gtest/gtest.h>

namespace agora::peers {
namespace {

using base::kSecondNs;
constexpr Method kWork{20};

// A session with a peer that the test plays.
class Connection {
 public:
  Connection(const std::shared_ptr<SessionContext>& context, uint64_t seed)
      : wire_(std::make_shared<FakeWire>(Identity::from_seed(seed).id())),
        session_(std::make_shared<Session>(context, Session::Role::dialer, seed)) {
    open_session(*session_, wire_, {.incarnation = seed, .dial = 0, .nonce = {}});
    EXPECT_TRUE(session_->open());
  }
  ~Connection() { session_->on_closed(absl::UnavailableError("the test has ended")); }
  Connection(const Connection&) = delete;

  void receive(const FrameHeader& header, base::Bytes bytes = {}) {
    session_->on_frame(frame_of(header, bytes));
    write();
  }
  // A message of so many bytes, or the first frame of it.
  void receive(FrameKind kind, CallId call, size_t bytes) {
    receive(
        {.kind = kind, .side = Side::host, .call = call.value, .payload_bytes = static_cast<uint32_t>(bytes)},
        std::vector<std::byte>(std::min(bytes, kChunkBytes)));
  }
  void write() {
    while (wire_->take_write()) session_->on_written(true);
  }
  const std::shared_ptr<Session>& session() const { return session_; }
  const FakeWire& wire() const { return *wire_; }

 private:
  const std::shared_ptr<FakeWire> wire_;
  const std::shared_ptr<Session> session_;
};

class SessionTest : public testing::Test {
 protected:
  SessionTest() {
    context_->self = Identity::from_seed(1).id();
    context_->limits.bytes_per_peer_max = 3 * kChunkBytes;
    context_->opened = [](const auto&) { return absl::OkStatus(); };
    context_->closed = [](const auto&, const auto&) {};
    context_->handlers.serve(kWork, [this](std::shared_ptr<IncomingCall>) { ++served_; });
  }

  // A call by way of that connection; it is not asked there yet.
  CallId begin(const Connection& to) {
    CallEvents events{.done =
                          [this](Reply reply) {
                            ++replies_;
                            reply_ = std::move(reply);
                          },
                      .part = [this](Payload) { ++parts_; }};
    const CallId id = context_->calls->add(loop_.now_ns() + kSecondNs, events, nullptr);
    context_->calls->set_link(id, to.session());
    return id;
  }
  void ask(Connection& to, CallId id) {
    const CallSettings settings{.to = to.wire().peer(),
                                .at = {"host", 1},
                                .method = kWork,
                                .deadline_ns = loop_.now_ns() + kSecondNs};
    EXPECT_TRUE(to.session()->request(id, settings, {}).ok());
    to.write();
  }
  CallId ask(Connection& to) {
    const CallId id = begin(to);
    ask(to, id);
    return id;
  }

  base::VirtualLoop loop_;
  const std::shared_ptr<SessionContext> context_ =
      std::make_shared<SessionContext>(loop_, std::make_shared<Calls>(loop_));
  int served_ = 0, parts_ = 0, replies_ = 0;
  Reply reply_;
};

TEST_F(SessionTest, OnlyWhoWasAskedAnswers) {
  Connection asked(context_, 2), other(context_, 3);
  const CallId id = ask(asked);
  other.receive(FrameKind::part, id, 5);
  other.receive(FrameKind::part, id, context_->limits.bytes_per_peer_max + 1);
  other.receive(FrameKind::reply, id, context_->limits.bytes_per_peer_max + 1);
  other.receive(FrameKind::reply, id, 5);
  EXPECT_EQ(parts_, 0);
  EXPECT_EQ(replies_, 0);
  asked.receive(FrameKind::part, id, 5);
  asked.receive(FrameKind::reply, id, 5);
  EXPECT_EQ(parts_, 1);
  EXPECT_EQ(replies_, 1);
  EXPECT_TRUE(reply_.status.ok()) << reply_.status;
  EXPECT_EQ(reply_.from, asked.wire().peer());
}

TEST_F(SessionTest, AnErrorsTextIsShownAsText) {
  Connection host(context_, 2);
  const CallId id = ask(host);
  const std::string text = "caf\u00e9 \"a\\b\" \x1b[2J\n\u009b2J\xff\x7f";
  host.receive({.kind = FrameKind::reply,
                .code = absl::StatusCode::kNotFound,
                .side = Side::host,
                .text_bytes = static_cast<uint16_t>(text.size()),
                .call = id.value},
               base::as_bytes(text));
  EXPECT_TRUE(absl::IsNotFound(reply_.status));
  EXPECT_EQ(reply_.status.message(), "caf\u00e9 \"a\\b\" \\x1b[2J\\x0a\\xc2\\x9b2J\\xff\\x7f");
}

TEST_F(SessionTest, NothingIsKeptOfTheAnswerToACallThatWasGivenUp) {
  Connection host(context_, 2);
  for (int i = 0; i < 4; ++i) {
    const CallId id = ask(host);
    context_->calls->cancel(id);
    host.receive(FrameKind::reply, id, 2 * kChunkBytes);  // sent before the cancel came; the rest never is
  }
  const CallId id = ask(host);
  host.receive(FrameKind::reply, id, 2 * kChunkBytes);
  host.receive({.kind = FrameKind::more, .side = Side::host, .call = id.value},
               std::vector<std::byte>(kChunkBytes));
  EXPECT_TRUE(reply_.status.ok()) << reply_.status;
  EXPECT_EQ(reply_.payload.size(), 2 * kChunkBytes);
}

TEST_F(SessionTest, ACallThatEndsBeforeItIsAskedLeavesNothing) {
  Connection host(context_, 2);
  const CallId id = begin(host);
  loop_.run_for(2 * kSecondNs);
  EXPECT_TRUE(absl::IsDeadlineExceeded(reply_.status)) << reply_.status;
  ask(host, id);
  EXPECT_EQ(host.wire().sent(FrameKind::request), 0);
  host.session()->retire();
  host.write();
  EXPECT_EQ(host.wire().sent(FrameKind::goodbye), 1);
}

TEST_F(SessionTest, TheDialerClosesWhenBothHaveSaidGoodbye) {
  Connection host(context_, 2);
  const CallId id = ask(host);
  host.session()->retire();
  host.receive({.kind = FrameKind::goodbye});
  EXPECT_EQ(host.wire().sent(FrameKind::goodbye), 0);
  EXPECT_FALSE(host.wire().aborted());
  host.receive(FrameKind::reply, id, 5);
  EXPECT_EQ(host.wire().sent(FrameKind::goodbye), 1);
  EXPECT_TRUE(host.wire().aborted());
}

TEST_F(SessionTest, WhoReadsNoAnswersIsThrownOut) {
  context_->limits.queue_bytes_per_peer_max = 8 * kShortReplyBytesMax;
  context_->limits.calls_per_peer_max = 4;
  Connection caller(context_, 2);
  const auto request = [&](uint64_t call) {
    caller.session()->on_frame(
        frame_of({.kind = FrameKind::request, .method = Method{999}, .call = call, .number = 1'000'000}, {}));
  };
  for (uint64_t call = 1; call <= 4; ++call) request(call);
  EXPECT_FALSE(caller.wire().aborted());
  for (uint64_t call = 5; call <= 50; ++call) request(call);
  EXPECT_TRUE(caller.wire().aborted());
}

TEST_F(SessionTest, WhoIsThrownOutIsNotServed) {
  Connection caller(context_, 2);
  const auto request = [&](uint64_t call) {
    caller.receive({.kind = FrameKind::request, .method = kWork, .call = call, .number = 1'000'000});
  };
  request(1);
  EXPECT_EQ(served_, 1);
  caller.receive({.kind = FrameKind::proof});  // a second one
  EXPECT_TRUE(caller.wire().aborted());
  request(2);
  EXPECT_EQ(served_, 1);
}

}  // namespace
}  // namespace agora::peers
