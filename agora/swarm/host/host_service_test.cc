#include "agora/swarm/host/host_service.h"

#include <limits>
#include <map>
#include <numeric>

#include "agora/base/virtual_loop.h"
#include "agora/swarm/host/test_calls.h"
#include "agora/swarm/host/test_swarm.h"
#include "agora/swarm/wire/method.h"
#include <gtest/gtest.h>

namespace agora::swarm {
namespace {

using peers::Priority;

// Hands calls to whoever serves their method.
class Switchboard final : public peers::Transport {
 public:
  const peers::PeerId& self() const override { return self_; }
  const peers::Endpoint& endpoint() const override { return endpoint_; }
  using peers::Transport::call;
  peers::CallId call(const peers::CallSettings&, peers::Payload, peers::CallEvents) override { return {}; }
  void cancel(peers::CallId) override {}
  void serve(peers::Method method, peers::CallHandler handler) override {
    handlers_[method] = std::move(handler);
  }
  void stop() override {}
  peers::TransportCounters counters() const override { return {}; }

  std::shared_ptr<FakeCall> ask(FakeCall::Settings settings) {
    auto call = std::make_shared<FakeCall>(std::move(settings));
    handlers_.at(call->method())(call);
    return call;
  }

 private:
  peers::PeerId self_ = test_peer(100);
  peers::Endpoint endpoint_{"test", 1};
  std::map<peers::Method, peers::CallHandler> handlers_;
};

class HostServiceTest : public testing::Test {
 protected:
  HostServiceTest() {
    for (int64_t e = 0; e < 4; ++e) {
      store_->adopt(expert_name(1, e));
      store_->set_role(expert_name(1, e), Role::leader, 1);
    }
  }

  struct Message {
    tensor::Buffer<float> x;
    moe::Route route;
    MixRequestHead head{.layer = LayerId(1), .rows = RowDtype::f32, .answer = RowDtype::f32};
    peers::Payload bytes() const {
      std::vector<int32_t> all;
      for (int32_t t = 0; t < x.rows(); ++t) all.push_back(t);
      return encode(head, route, x.view(), all);
    }
  };
  Message message(int64_t tokens, int64_t width = kTestWidth) {
    return {moe::random_rows(rng_, tokens, width), moe::random_route(rng_, tokens, 4, 2)};
  }
  std::shared_ptr<FakeCall> ask(const peers::Payload& payload, peers::Method method = kMix,
                                Priority priority = Priority::training, int from = 1) {
    return board_.ask({.from = test_peer(from), .method = method, .priority = priority, .payload = payload});
  }
  absl::StatusCode code_of(const peers::Payload& payload, peers::Method method = kMix) {
    const auto call = ask(payload, method);
    loop_.run_for(0);
    EXPECT_EQ(call->replies(), 1);
    return call->status()->code();
  }
  peers::Payload gradient(moe::Ticket ticket, const Message& m, uint64_t step = 1) {
    BackwardHead head = backward_head(m, step);
    head.ticket = ticket;
    return encode(head, m.x.view(), all_rows(m));
  }
  peers::Payload rows_again(const Message& m, uint64_t step = 1) {
    return encode(backward_head(m, step), m.x.view(), all_rows(m), RowsAgain{m.route, m.x.view()});
  }
  static BackwardHead backward_head(const Message& m, uint64_t step) {
    BackwardHead head;
    head.key.step = step;
    head.key.layer = m.head.layer;
    head.rows = head.answer = RowDtype::f32;
    head.choices = m.route.choices();
    return head;
  }
  static std::vector<int32_t> all_rows(const Message& m) {
    std::vector<int32_t> all(static_cast<size_t>(m.x.rows()));
    std::iota(all.begin(), all.end(), 0);
    return all;
  }
  // A choice of the expert for each of the tokens.
  Message all_of(int32_t expert, int32_t tokens) {
    Message m = message(tokens);
    m.route = {.first = {0}, .expert = {}, .weight = {}};
    for (int32_t t = 1; t <= tokens; ++t) {
      m.route.first.push_back(t);
      m.route.expert.push_back(expert);
      m.route.weight.push_back(0.5f);
    }
    return m;
  }
  std::vector<float> gradients_of(int64_t expert) {
    std::vector<float> numbers;
    for (const moe::ParameterView& p : store_->experts().parameters(LayerId{1}, ExpertId{expert})) {
      numbers.insert(numbers.end(), p.gradient.flat().begin(), p.gradient.flat().end());
    }
    return numbers;
  }
  moe::Ticket keep(Message& m) {
    m.head.keep = moe::Keep::for_backward;
    const auto call = ask(m.bytes());
    loop_.run_for(0);
    return read_mix_reply(call->answer().bytes())->ticket;
  }

  Rng rng_{1};
  moe::TestCompute machine_{1};
  SwarmSpec spec_ = test_spec(UpdateMode::synchronous);
  std::unique_ptr<ExpertStore> store_ = make_store(machine_, spec_);
  base::VirtualLoop loop_;
  Executor executor_{loop_};
  Switchboard board_;
  HostService service_{board_, executor_, *store_, spec_, {}};
};

TEST_F(HostServiceTest, CallsThatShareAPassGetWhatTheyWouldHaveGotAlone) {
  std::vector<Message> messages;
  for (const int64_t tokens : {3, 1, 7}) messages.push_back(message(tokens));
  messages.push_back(message(2));
  messages.back().head.entries = true;
  std::vector<peers::Payload> alone;
  for (const Message& m : messages) {
    const auto call = ask(m.bytes());
    loop_.run_for(0);
    alone.push_back(call->answer());
  }
  EXPECT_EQ(service_.counters().shared, 0u);
  std::vector<std::shared_ptr<FakeCall>> together;
  for (const Message& m : messages) together.push_back(ask(m.bytes()));
  EXPECT_GT(service_.load_us(), 0u);
  loop_.run_for(0);
  EXPECT_EQ(service_.counters().shared, 3u) << "the fourth wants its entries";
  EXPECT_EQ(service_.counters().passes, 6u);
  for (size_t i = 0; i < messages.size(); ++i) {
    ASSERT_TRUE(together[i]->status()->ok()) << *together[i]->status();
    EXPECT_TRUE(std::equal(alone[i].bytes().begin(), alone[i].bytes().end(),
                           together[i]->answer().bytes().begin(), together[i]->answer().bytes().end()))
        << i;
  }
}

TEST_F(HostServiceTest, CallsThatShareAPassLeaveNoTasksBehind) {
  std::vector<std::shared_ptr<FakeCall>> calls;
  for (int i = 0; i < 20; ++i) calls.push_back(ask(message(2).bytes()));
  ASSERT_TRUE(loop_.step());
  for (const auto& call : calls) EXPECT_EQ(call->replies(), 1);
  const int64_t before_ns = loop_.now_ns();
  const bool later = loop_.step();
  EXPECT_TRUE(!later || loop_.now_ns() > before_ns);
}

TEST_F(HostServiceTest, OneBadCallerSpoilsNobodysPass) {
  const Message good = message(2);
  Message bad = message(2);
  bad.x.row(1)[3] = std::numeric_limits<float>::quiet_NaN();
  const auto first = ask(good.bytes()), second = ask(bad.bytes()), third = ask(good.bytes());
  loop_.run_for(0);
  EXPECT_TRUE(first->status()->ok());
  EXPECT_EQ(second->status()->code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(third->status()->ok());
  EXPECT_EQ(service_.counters().refused, 1u);
}

TEST_F(HostServiceTest, ANumberOfNoExpertSpoilsNobodysPass) {
  const Message good = message(2);
  Message bad = message(1);
  bad.route = {.first = {0, 1}, .expert = {static_cast<int32_t>(spec_.experts_max)}, .weight = {1}};
  const auto first = ask(good.bytes()), second = ask(bad.bytes()), third = ask(good.bytes());
  loop_.run_for(0);
  EXPECT_TRUE(first->status()->ok());
  EXPECT_EQ(second->status()->code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(third->status()->ok());
  EXPECT_EQ(service_.counters().refused, 1u);
}

TEST_F(HostServiceTest, ASmallInteractiveCallDoesNotWaitForTheLoop) {
  const auto call = ask(message(1).bytes(), kMix, Priority::interactive);
  EXPECT_TRUE(call->status().has_value());
  EXPECT_EQ(service_.counters().done_here, 1u);
  const auto waiting = ask(message(3).bytes());
  const auto behind = ask(message(1).bytes(), kMix, Priority::interactive);
  EXPECT_FALSE(behind->status().has_value()) << "somebody waits: it takes its turn";
  loop_.run_for(0);
  EXPECT_TRUE(waiting->status()->ok());
  EXPECT_TRUE(behind->status()->ok());
}

TEST_F(HostServiceTest, WhatIsNotHeldIsData) {
  Message m = message(1);
  m.route = {.first = {0, 2}, .expert = {1, 6}, .weight = {1, 1}};
  const auto call = ask(m.bytes());
  loop_.run_for(0);
  ASSERT_TRUE(call->status()->ok());
  EXPECT_EQ(read_mix_reply(call->answer().bytes())->arrived, (std::vector<uint8_t>{1, 0}));
}

TEST_F(HostServiceTest, TicketsAreTheirOwnersAndUsedOnce) {
  Message m = message(3);
  const moe::Ticket ticket = keep(m);
  ASSERT_NE(ticket, moe::Ticket{});
  const auto stranger = ask(gradient(ticket, m), kMixBackward, Priority::training, 2);
  loop_.run_for(0);
  EXPECT_EQ(stranger->status()->code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(code_of(gradient(ticket, m), kMixBackward), absl::StatusCode::kOk);
  EXPECT_EQ(code_of(gradient(ticket, m, 2), kMixBackward), absl::StatusCode::kNotFound);
  EXPECT_EQ(service_.counters().unknown_tickets, 2u);
  EXPECT_EQ(store_->counters().applied, 1u);
}

TEST_F(HostServiceTest, AnUpdateSentAgainIsAnsweredAsTheFirstTime) {
  Message m = message(3);
  const moe::Ticket ticket = keep(m), unused = keep(m);
  const auto first = ask(gradient(ticket, m), kMixBackward);
  loop_.run_for(0);
  for (const moe::Ticket again : {ticket, unused}) {
    const auto second = ask(gradient(again, m), kMixBackward);
    loop_.run_for(0);
    EXPECT_TRUE(std::ranges::equal(first->answer().bytes(), second->answer().bytes()));
  }
  EXPECT_EQ(store_->counters().applied, 1u);
  EXPECT_EQ(store_->counters().repeated, 2u);
  EXPECT_EQ(store_->experts().tickets_held(), 0);
}

// Two experts' rows were one part of a call to a host that handed over both, one after the other: they came
// to their new leader by themselves, under one name.
TEST_F(HostServiceTest, APartThatWasSplitIsTakenPieceByPiece) {
  const Message first = all_of(1, 2), second = all_of(0, 3);
  const auto one = ask(rows_again(first), kMixBackward);
  loop_.run_for(0);
  const auto other = ask(rows_again(second), kMixBackward);
  loop_.run_for(0);
  ASSERT_TRUE(one->status()->ok() && other->status()->ok());
  EXPECT_EQ(read_backward_reply(other->answer().bytes())->dx.rows, 3);
  EXPECT_EQ(store_->counters().applied, 2u);
  EXPECT_TRUE(store_->experts().touched(LayerId{1}, ExpertId{0}));

  const std::vector<float> before = gradients_of(0);
  const auto repeated = ask(rows_again(second), kMixBackward);
  loop_.run_for(0);
  EXPECT_TRUE(std::ranges::equal(other->answer().bytes(), repeated->answer().bytes()));
  EXPECT_EQ(store_->counters().repeated, 1u);
  Message both = message(3);
  both.route = {.first = {0, 2, 3, 4}, .expert = {0, 1, 0, 2}, .weight = {0.5f, 0.5f, 0.5f, 0.5f}};
  EXPECT_EQ(code_of(rows_again(both), kMixBackward), absl::StatusCode::kOk);
  EXPECT_EQ(gradients_of(0), before) << "an expert takes what is under one name once, in whatever piece";
  EXPECT_TRUE(store_->experts().touched(LayerId{1}, ExpertId{2}));
}

// The expert went to another host between the forward and the backward.
TEST_F(HostServiceTest, RowsAgainForWhatIsHeldNoMoreAreForAnother) {
  Message m = message(1);
  m.route = {.first = {0, 2}, .expert = {1, 3}, .weight = {1, 1}};
  const moe::Ticket ticket = keep(m);
  store_->drop(expert_name(1, 3));
  EXPECT_EQ(code_of(gradient(ticket, m), kMixBackward), absl::StatusCode::kNotFound);
  EXPECT_EQ(code_of(rows_again(m), kMixBackward), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(store_->experts().touched(LayerId{1}, ExpertId{1}));
  EXPECT_EQ(store_->experts().tickets_held(), 0);
  EXPECT_EQ(store_->counters().applied, 0u);
  EXPECT_EQ(service_.counters().moving, 1u);
}

// It comes again, and nothing was wrong with it.
TEST_F(HostServiceTest, AGradientForWhatIsHandedOverIsCountedAsSuch) {
  Message m = all_of(1, 1);
  const moe::Ticket ticket = keep(m);
  ASSERT_TRUE(store_->freeze(expert_name(1, 1), true));
  EXPECT_EQ(code_of(gradient(ticket, m), kMixBackward), absl::StatusCode::kUnavailable);
  EXPECT_EQ(service_.counters().moving, 1u);
  EXPECT_EQ(service_.counters().refused, 0u);
  store_->freeze(expert_name(1, 1), false);
  EXPECT_EQ(code_of(gradient(ticket, m), kMixBackward), absl::StatusCode::kOk);
}

TEST_F(HostServiceTest, AReleasedTicketIsGone) {
  Message m = message(3);
  const std::vector<moe::Ticket> ticket = {keep(m)};
  ask(encode_release(ticket), kRelease, Priority::training, 2);
  loop_.run_for(0);
  ask(encode_release(ticket), kRelease);
  loop_.run_for(0);
  EXPECT_EQ(code_of(gradient(ticket[0], m), kMixBackward), absl::StatusCode::kNotFound);
  EXPECT_EQ(store_->experts().tickets_held(), 0);
}

TEST_F(HostServiceTest, BadInputGetsOneErrorAndACounter) {
  EXPECT_EQ(code_of(peers::Payload::copy(base::as_bytes("not a message of ours"))),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code_of({}, kMixBackward), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code_of({}, kEndStep), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(service_.counters().malformed, 3u);

  EXPECT_EQ(code_of(message(2, kTestWidth + 1).bytes()), absl::StatusCode::kInvalidArgument);
  Message layer = message(2);
  layer.head.layer = LayerId(2);
  EXPECT_EQ(code_of(layer.bytes()), absl::StatusCode::kInvalidArgument);
  Message expert = message(1);
  expert.route = {.first = {0, 1}, .expert = {999}, .weight = {1}};
  EXPECT_EQ(code_of(expert.bytes()), absl::StatusCode::kInvalidArgument);
  Message nan = message(2);
  nan.x.row(0)[0] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(code_of(nan.bytes()), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(service_.counters().refused, 4u);

  Message kept = message(3);
  const moe::Ticket ticket = keep(kept);
  Message other = message(4);
  EXPECT_EQ(code_of(gradient(ticket, other), kMixBackward), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code_of(gradient(ticket, kept), kMixBackward), absl::StatusCode::kOk)
      << "the ticket should have stayed";
}

TEST_F(HostServiceTest, LateCallsAreNotComputed) {
  board_.ask({.from = test_peer(1), .method = kMix, .deadline_ns = 5, .payload = message(3).bytes()});
  const auto late =
      board_.ask({.from = test_peer(1), .method = kMix, .deadline_ns = 0, .payload = message(3).bytes()});
  loop_.run_for(0);
  EXPECT_EQ(late->status()->code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(service_.counters().late, 1u);
  EXPECT_EQ(service_.counters().passes, 1u);
}

// A transport keeps the handlers, they the service's state, and that must not keep the transport's calls.
TEST_F(HostServiceTest, WhatWaitsWhenItGoesIsAnsweredAndLetGoOf) {
  Switchboard board;
  auto service = std::make_unique<HostService>(board, executor_, *store_, spec_, HostConfig{});
  auto call = board.ask({.from = test_peer(1), .method = kMix, .payload = message(3).bytes()});
  service.reset();
  ASSERT_EQ(call->replies(), 1);
  EXPECT_EQ(call->status()->code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(call.use_count(), 1);
  loop_.run_for(0);
  EXPECT_EQ(call->replies(), 1);
}

}  // namespace
}  // namespace agora::swarm
