#include "tests/conformance/transport_suite.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

#include "agora/base/loop.h"
#include "agora/base/rng.h"

namespace agora::tests {

using base::kMillisecondNs;
using base::MutexLock;
using peers::CallEvents;
using peers::CallId;
using peers::CallSettings;
using peers::IncomingCall;
using peers::Payload;
using peers::PeerId;
using peers::Priority;
using peers::Reply;
using peers::Transport;

bool await_in_real_time(const std::function<bool()>& so) {
  constexpr int64_t kLimitNs = 60 * base::kSecondNs;
  const RealClock clock;
  const int64_t until_ns = clock.now_ns() + kLimitNs;
  while (!so()) {
    if (clock.now_ns() > until_ns) return false;
    std::this_thread::yield();
  }
  return true;
}

CallEvents Answer::events() {
  return {.done =
              [state = state_](Reply reply) {
                MutexLock lock(state->mutex);
                ++state->done_count;
                state->reply = std::move(reply);
              },
          .part =
              [state = state_](Payload part) {
                MutexLock lock(state->mutex);
                state->part_after_done = state->part_after_done || state->done_count > 0;
                state->parts.push_back(std::move(part));
              }};
}

int Answer::done_count() const {
  MutexLock lock(state_->mutex);
  return state_->done_count;
}

bool Answer::done() const { return done_count() > 0; }

Reply Answer::reply() const {
  MutexLock lock(state_->mutex);
  return state_->reply;
}

std::vector<Payload> Answer::parts() const {
  MutexLock lock(state_->mutex);
  return state_->parts;
}

bool Answer::part_after_done() const {
  MutexLock lock(state_->mutex);
  return state_->part_after_done;
}

Payload random_payload(size_t size, uint64_t seed) {
  Rng rng(seed);
  std::vector<std::byte> bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(rng.next_u32());
  return Payload::own(std::move(bytes));
}

bool same(const Payload& a, const Payload& b) { return std::ranges::equal(a.bytes(), b.bytes()); }

void TransportSuite::TearDown() {
  let_go();
  net_.reset();
}

std::unique_ptr<Transport> TransportSuite::make_peer() {
  auto peer = net_->add_peer();
  peer->serve(kEcho, [](std::shared_ptr<IncomingCall> call) {
    call->reply(absl::OkStatus(), call->payload(), call->payload().size() % 1000);
  });
  peer->serve(kHold, [this](std::shared_ptr<IncomingCall> call) {
    MutexLock lock(mutex_);
    held_.push_back(std::move(call));
  });
  peer->serve(kParts, [](std::shared_ptr<IncomingCall> call) {
    const int parts = static_cast<int>(call->payload().bytes()[0]);
    for (int i = 0; i < parts; ++i) {
      // Small ones after large ones: none may overtake.
      call->part(random_payload(i % 2 == 0 ? 700'000 : 3, static_cast<uint64_t>(i)));
    }
    call->reply(absl::OkStatus(), random_payload(5, 1000), 0);
  });
  return peer;
}

CallSettings TransportSuite::to(const Transport& peer, peers::Method method, int64_t limit_ms) const {
  return {.to = peer.self(),
          .at = peer.endpoint(),
          .method = method,
          .deadline_ns = net_->clock().now_ns() + limit_ms * kMillisecondNs};
}

Answer TransportSuite::call(Transport& from, const CallSettings& settings, Payload payload) {
  Answer answer;
  from.call(settings, std::move(payload), answer.events());
  return answer;
}

Reply TransportSuite::ask(Transport& from, const CallSettings& settings, Payload payload) {
  const Answer answer = call(from, settings, std::move(payload));
  EXPECT_TRUE(net_->await([&] { return answer.done(); }));
  return answer.reply();
}

std::vector<std::shared_ptr<IncomingCall>> TransportSuite::held() const {
  MutexLock lock(mutex_);
  return held_;
}

void TransportSuite::let_go() {
  std::vector<std::shared_ptr<IncomingCall>> held;
  MutexLock lock(mutex_);
  held.swap(held_);
}

namespace {

TEST_P(TransportSuite, EchoesEverySize) {
  const auto a = make_peer(), b = make_peer();
  for (const size_t size : {0, 1, 31, 4096, 65536, 262143, 262144, 262145, 1 << 20, 8 << 20}) {
    const Payload payload = random_payload(size, size);
    const Reply reply = ask(*a, to(*b, kEcho), payload);
    ASSERT_TRUE(reply.status.ok()) << size << ": " << reply.status;
    EXPECT_TRUE(same(reply.payload, payload)) << size;
    EXPECT_EQ(reply.from, b->self());
    EXPECT_EQ(reply.load_us, size % 1000);
    EXPECT_TRUE(reply.from_peer);
  }
  EXPECT_EQ(a->counters().calls_sent, 10u);
  EXPECT_EQ(a->counters().calls_failed, 0u);
  EXPECT_EQ(b->counters().calls_received, 10u);
  EXPECT_GE(a->counters().bytes_sent, 9u << 20);
}

TEST_P(TransportSuite, TellsThePeerWhatTheCallIs) {
  const auto a = make_peer(), b = make_peer();
  CallSettings settings = to(*b, kHold, 5000);
  settings.priority = Priority::background;
  settings.trace = 77;
  const Answer answer = call(*a, settings, random_payload(10, 1));
  ASSERT_TRUE(net_->await([&] { return held().size() == 1; }));
  const auto held_call = held().front();
  EXPECT_EQ(held_call->from(), a->self());
  EXPECT_EQ(held_call->method(), kHold);
  EXPECT_EQ(held_call->priority(), Priority::background);
  EXPECT_EQ(held_call->trace(), 77u);
  EXPECT_TRUE(same(held_call->payload(), random_payload(10, 1)));
  EXPECT_FALSE(held_call->abandoned());
  EXPECT_GT(held_call->deadline_ns(), net_->clock().now_ns());
  EXPECT_LE(held_call->deadline_ns(), settings.deadline_ns + 5000 * kMillisecondNs);
  held_call->reply(absl::NotFoundError("no such thing"), random_payload(3, 3), 9);
  held_call->reply(absl::OkStatus(), {}, 0);  // the first one counts
  ASSERT_TRUE(net_->await([&] { return answer.done(); }));
  EXPECT_EQ(answer.reply().status, absl::NotFoundError("no such thing"));
  EXPECT_TRUE(same(answer.reply().payload, random_payload(3, 3)));
}

TEST_P(TransportSuite, CallsDoNotWaitForEachOther) {
  const auto a = make_peer(), b = make_peer();
  const Answer waiting = call(*a, to(*b, kHold));
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(ask(*a, to(*b, kEcho), random_payload(100, 1)).status.ok());
  EXPECT_FALSE(waiting.done());
  // And the other way over the same connection.
  EXPECT_TRUE(ask(*b, to(*a, kEcho), random_payload(100, 1)).status.ok());
  EXPECT_LE(a->counters().connections, 1);
}

TEST_P(TransportSuite, ManyCallsFromManyThreads) {
  const auto a = make_peer(), b = make_peer();
  const int threads = net_->has_threads() ? 4 : 1;
  constexpr int kCalls = 200;
  std::vector<std::vector<Answer>> answers(static_cast<size_t>(threads));
  std::vector<std::thread> callers;
  const auto work = [&](int t) {
    for (int i = 0; i < kCalls; ++i) {
      Transport& from = i % 2 == 0 ? *a : *b;
      CallSettings settings = to(i % 2 == 0 ? *b : *a, kEcho);
      settings.priority = static_cast<Priority>(i % 3);
      answers[t].push_back(call(from, settings, random_payload(static_cast<size_t>(i) * 97, i)));
    }
  };
  for (int t = 1; t < threads; ++t) callers.emplace_back(work, t);
  work(0);
  for (std::thread& caller : callers) caller.join();
  for (const auto& of_thread : answers) {
    for (int i = 0; i < kCalls; ++i) {
      ASSERT_TRUE(net_->await([&] { return of_thread[i].done(); })) << i;
      ASSERT_TRUE(of_thread[i].reply().status.ok()) << of_thread[i].reply().status;
      EXPECT_TRUE(same(of_thread[i].reply().payload, random_payload(static_cast<size_t>(i) * 97, i)));
      EXPECT_EQ(of_thread[i].done_count(), 1);
    }
  }
  // Both may have dialed at once; one connection is left.
  EXPECT_TRUE(net_->await([&] { return a->counters().connections <= 1 && b->counters().connections <= 1; }));
}

TEST_P(TransportSuite, PartsComeInOrderBeforeTheReply) {
  const auto a = make_peer(), b = make_peer();
  const Answer answer = call(*a, to(*b, kParts), Payload::own({std::byte{9}}));
  ASSERT_TRUE(net_->await([&] { return answer.done(); }));
  EXPECT_TRUE(answer.reply().status.ok()) << answer.reply().status;
  ASSERT_EQ(answer.parts().size(), 9u);
  for (int i = 0; i < 9; ++i) {
    EXPECT_TRUE(same(answer.parts()[i], random_payload(i % 2 == 0 ? 700'000 : 3, static_cast<uint64_t>(i))));
  }
  EXPECT_FALSE(answer.part_after_done());
}

TEST_P(TransportSuite, ACallWithoutPartListenerMayGetParts) {
  const auto a = make_peer(), b = make_peer();
  Answer answer;
  a->call(to(*b, kParts), Payload::own({std::byte{3}}), answer.events().done);
  ASSERT_TRUE(net_->await([&] { return answer.done(); }));
  EXPECT_TRUE(answer.reply().status.ok());
}

TEST_P(TransportSuite, TheDeadlineEndsTheCall) {
  const auto a = make_peer(), b = make_peer();
  ASSERT_TRUE(ask(*a, to(*b, kEcho)).status.ok());
  const CallSettings settings = to(*b, kHold, 50);
  const Reply reply = ask(*a, settings);
  EXPECT_TRUE(absl::IsDeadlineExceeded(reply.status)) << reply.status;
  EXPECT_FALSE(reply.from_peer);
  EXPECT_EQ(a->counters().calls_failed, 1u);
  EXPECT_GE(net_->clock().now_ns(), settings.deadline_ns);
  ASSERT_EQ(held().size(), 1u);
  EXPECT_TRUE(net_->await([&] { return held()[0]->abandoned(); }));
  held()[0]->reply(absl::OkStatus(), {}, 0);  // too late, for nobody
}

TEST_P(TransportSuite, ADeadlineInThePastEndsTheCallToo) {
  const auto a = make_peer(), b = make_peer();
  EXPECT_TRUE(absl::IsDeadlineExceeded(ask(*a, to(*b, kHold, -5)).status));
  EXPECT_TRUE(held().empty());
}

TEST_P(TransportSuite, CancelReachesThePeer) {
  const auto a = make_peer(), b = make_peer();
  Answer answer;
  const CallId id = a->call(to(*b, kHold), {}, answer.events());
  ASSERT_TRUE(net_->await([&] { return held().size() == 1; }));
  EXPECT_FALSE(held()[0]->abandoned());
  a->cancel(id);
  a->cancel(id);
  a->cancel(CallId{});
  ASSERT_TRUE(net_->await([&] { return answer.done(); }));
  EXPECT_TRUE(absl::IsCancelled(answer.reply().status)) << answer.reply().status;
  EXPECT_EQ(a->counters().calls_failed, 0u);
  EXPECT_TRUE(net_->await([&] { return held()[0]->abandoned(); }));
  held()[0]->part(random_payload(10, 1));
  held()[0]->reply(absl::OkStatus(), {}, 0);
  EXPECT_TRUE(ask(*a, to(*b, kEcho)).status.ok());
  EXPECT_EQ(answer.done_count(), 1);
  EXPECT_TRUE(answer.parts().empty());
}

TEST_P(TransportSuite, UnknownMethodsAreUnimplemented) {
  const auto a = make_peer(), b = make_peer();
  const Reply reply = ask(*a, to(*b, kNobody));
  EXPECT_TRUE(absl::IsUnimplemented(reply.status)) << reply.status;
  EXPECT_TRUE(reply.from_peer);
  EXPECT_TRUE(net_->await([&] { return b->counters().frames_refused == 1; }));
}

TEST_P(TransportSuite, ACallThatThePeerDropsIsUnavailable) {
  const auto a = make_peer(), b = make_peer();
  const Answer answer = call(*a, to(*b, kHold));
  ASSERT_TRUE(net_->await([&] { return held().size() == 1; }));
  let_go();
  ASSERT_TRUE(net_->await([&] { return answer.done(); }));
  EXPECT_TRUE(absl::IsUnavailable(answer.reply().status)) << answer.reply().status;
}

TEST_P(TransportSuite, WhenThePeerDiesItsCallsAreUnavailable) {
  const auto a = make_peer();
  auto b = make_peer();
  const CallSettings settings = to(*b, kHold), again = to(*b, kEcho);
  const Answer answer = call(*a, settings);
  ASSERT_TRUE(net_->await([&] { return held().size() == 1; }));
  b.reset();
  ASSERT_TRUE(net_->await([&] { return answer.done(); }));
  EXPECT_TRUE(absl::IsUnavailable(answer.reply().status)) << answer.reply().status;
  EXPECT_TRUE(held()[0]->abandoned());
  EXPECT_TRUE(absl::IsUnavailable(ask(*a, again).status));
}

TEST_P(TransportSuite, SomebodyElseIsRefused) {
  const auto a = make_peer(), b = make_peer(), c = make_peer();
  CallSettings settings = to(*b, kEcho);
  settings.to = c->self();
  const Reply reply = ask(*a, settings);
  EXPECT_TRUE(absl::IsPermissionDenied(reply.status)) << reply.status;
  EXPECT_FALSE(reply.from_peer);
  EXPECT_EQ(b->counters().calls_received, 0u);
}

TEST_P(TransportSuite, WhoeverIsThereSaysWho) {
  const auto a = make_peer(), b = make_peer();
  CallSettings settings = to(*b, kEcho);
  settings.to = PeerId{};
  for (int i = 0; i < 2; ++i) {
    const Reply reply = ask(*a, settings, random_payload(10, 1));
    EXPECT_TRUE(reply.status.ok()) << reply.status;
    EXPECT_EQ(reply.from, b->self());
  }
  EXPECT_TRUE(ask(*a, to(*b, kEcho)).status.ok());
}

TEST_P(TransportSuite, CallsToItselfAndToNowhereAreRefused) {
  const auto a = make_peer();
  EXPECT_TRUE(absl::IsInvalidArgument(ask(*a, to(*a, kEcho)).status));
  CallSettings settings = to(*a, kEcho);
  settings.to = PeerId{};
  EXPECT_TRUE(absl::IsInvalidArgument(ask(*a, settings).status));
  settings.at = {};
  EXPECT_TRUE(absl::IsInvalidArgument(ask(*a, settings).status));
}

TEST_P(TransportSuite, NobodyThereIsUnavailable) {
  const auto a = make_peer();
  auto b = make_peer();
  const CallSettings settings = to(*b, kEcho);
  b.reset();
  EXPECT_TRUE(absl::IsUnavailable(ask(*a, settings).status));
}

TEST_P(TransportSuite, StopEndsCallsAndRefusesNewOnes) {
  const auto a = make_peer(), b = make_peer();
  const Answer open = call(*a, to(*b, kHold));
  ASSERT_TRUE(net_->await([&] { return held().size() == 1; }));
  a->stop();
  EXPECT_EQ(open.done_count(), 1);  // no waiting: stop() returns when all have ended
  EXPECT_TRUE(absl::IsCancelled(open.reply().status)) << open.reply().status;
  const Answer late = call(*a, to(*b, kEcho));
  EXPECT_EQ(late.done_count(), 1);
  EXPECT_TRUE(absl::IsCancelled(late.reply().status)) << late.reply().status;
  EXPECT_TRUE(net_->await([&] { return held()[0]->abandoned(); }));
  held()[0]->reply(absl::OkStatus(), {}, 0);
  a->stop();
}

TEST_P(TransportSuite, DestroyedUnderLoadItEndsEveryCallOnce) {
  if (!net_->has_threads()) GTEST_SKIP() << "one thread can not call and destroy at once";
  auto a = make_peer();
  const auto b = make_peer();
  std::vector<Answer> answers;
  for (int i = 0; i < 500; ++i) answers.push_back(call(*a, to(*b, kEcho), random_payload(2000, 1)));
  a.reset();
  for (const Answer& answer : answers) {
    EXPECT_EQ(answer.done_count(), 1);
    EXPECT_TRUE(answer.reply().status.ok() || absl::IsCancelled(answer.reply().status))
        << answer.reply().status;
  }
}

TEST_P(TransportSuite, AnAnswerMayCallAgain) {
  const auto a = make_peer(), b = make_peer();
  std::atomic<int> rounds{0};
  std::function<void(Reply)> again = [&](const Reply& reply) {
    ASSERT_TRUE(reply.status.ok()) << reply.status;
    if (++rounds < 50) a->call(to(*b, kEcho), reply.payload, again);
  };
  a->call(to(*b, kEcho), random_payload(100, 1), again);
  EXPECT_TRUE(net_->await([&] { return rounds == 50; }));
}

}  // namespace
}  // namespace agora::tests
