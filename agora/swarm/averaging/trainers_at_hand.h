// Trainers in one process and virtual time, for tests: some real, some that say what the test says.
//
//   class MyTest : public TrainersAtHand {};
//   TEST_F(MyTest, ...) { add(0, step_ns); add_by_hand(1).news->version = ...; loop_.run_for(...); }
//
// One thread.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <utility>
#include <vector>

#include "agora/base/virtual_loop.h"
#include "agora/peers/transport/loopback.h"
#include "agora/swarm/averaging/averaging.h"
#include "agora/swarm/peer_state.h"
#include "agora/swarm/trunk_exchange.h"
#include "agora/swarm/wire/method.h"
#include <gtest/gtest.h>

namespace agora::swarm {

using base::kMillisecondNs;
using base::kSecondNs;

inline constexpr size_t kNumbers = 1000;
inline constexpr size_t kSteered = 10;  // the last ones
inline constexpr size_t kLearned = kNumbers - kSteered;

inline peers::PeerId peer_of(size_t i) {
  peers::PeerId peer;
  peer.bytes[0] = static_cast<std::byte>(i + 1);
  return peer;
}

inline Contribution contribution_of(size_t i) {
  Contribution c{.owner = peer_of(i), .rows = 100 + i};
  c.hash[0] = static_cast<uint8_t>(i + 1);
  return c;
}

// Who is there, as the test says it.
class Board final : public peers::Directory {
 public:
  void publish(std::string) override {}
  void subscribe(Listener) override {}
  void join(const peers::Endpoint&) override {}
  using peers::Directory::leave;
  void leave(std::function<void()> done) override { done(); }
  std::vector<std::shared_ptr<const peers::Record>> records() const override { return records_; }
  peers::DirectoryCounters counters() const override { return {}; }

  void add_trainer(const peers::PeerId& peer, const peers::Endpoint& at) {
    auto record = std::make_shared<peers::Record>();
    record->peer = peer;
    record->endpoint = at;
    PeerState state;
    state.trainer = true;
    record->body = encode(state);
    records_.push_back(std::move(record));
  }
  void remove(const peers::PeerId& peer) {
    std::erase_if(records_, [&](const auto& record) { return record->peer == peer; });
  }

 private:
  std::vector<std::shared_ptr<const peers::Record>> records_;
};

inline TrunkSnapshot first_trunk(size_t numbers = kNumbers) {
  TrunkSnapshot first;
  first.values.resize(numbers);
  std::iota(first.values.begin(), first.values.end(), -3.0f);
  return first;
}

// A trainer's way to the others; what it pulls over it takes its time, or its calls do not come through.
class Line final : public peers::Transport {
 public:
  Line(peers::Transport& transport, base::Loop& loop) : transport_(transport), loop_(loop) {}

  void take(int64_t pull_ns) { pull_ns_ = pull_ns; }                  // of each answer to kGetTrunk
  void cut(std::set<peers::PeerId> from) { cut_ = std::move(from); }  // from calls to them

  const peers::PeerId& self() const override { return transport_.self(); }
  const peers::Endpoint& endpoint() const override { return transport_.endpoint(); }
  using Transport::call;
  peers::CallId call(const peers::CallSettings& settings, peers::Payload payload,
                     peers::CallEvents events) override {
    if (cut_.contains(settings.to)) {
      loop_.post([done = events.done] { done({.status = absl::UnavailableError("the line is cut")}); });
      return {};
    }
    if (settings.method == kGetTrunk && pull_ns_ > 0) {
      events.done = [this, until_ns = settings.deadline_ns, done = events.done](peers::Reply reply) {
        const int64_t here_ns = loop_.now_ns() + pull_ns_;
        if (here_ns > until_ns) reply = {.status = absl::DeadlineExceededError("the line is slow")};
        loop_.at(std::min(here_ns, until_ns), [done, reply] { done(reply); });
      };
    }
    return transport_.call(settings, std::move(payload), std::move(events));
  }
  void cancel(peers::CallId call) override { transport_.cancel(call); }
  void serve(peers::Method method, peers::CallHandler handler) override {
    transport_.serve(method, std::move(handler));
  }
  void stop() override { transport_.stop(); }
  peers::TransportCounters counters() const override { return transport_.counters(); }

 private:
  peers::Transport& transport_;
  base::Loop& loop_;
  int64_t pull_ns_ = 0;
  std::set<peers::PeerId> cut_;
};

// Trainers whose step adds their own number to every number of the trunk.
class TrainersAtHand : public ::testing::Test {
 protected:
  // What another trainer says, as the test says it.
  struct ByHand {
    std::unique_ptr<peers::LoopbackTransport> transport;
    std::shared_ptr<News> news = std::make_shared<News>();
    std::vector<News> heard;
    TrunkShelf shelf;

    explicit ByHand(const Clock& clock) : shelf(clock) {}
  };

  ByHand& add_by_hand(size_t i) {
    ByHand& peer = by_hand_.try_emplace(i, loop_).first->second;
    const peers::Endpoint at{"loop", static_cast<uint16_t>(100 + i)};
    peer.transport = std::make_unique<peers::LoopbackTransport>(network_, peer_of(i), at);
    peer.shelf.serve(*peer.transport);
    peer.transport->serve(kAverage, [&peer](const std::shared_ptr<peers::IncomingCall>& call) {
      peer.heard.push_back(*read_news(call->payload().bytes()));
      call->reply(absl::OkStatus(), encode(*peer.news));
    });
    board_.add_trainer(peer_of(i), at);
    return peer;
  }

  struct Trainer {
    std::unique_ptr<peers::LoopbackTransport> transport;
    std::unique_ptr<Line> line;
    std::unique_ptr<Averaging> averaging;
    std::unique_ptr<tensor::Parameter> parameter, steered;
    std::unique_ptr<TrunkLayout> layout;
    uint64_t step = 0;
    int64_t step_ns = 0;  // how long a step takes; 0: stopped
    float adds = 0;       // so much to every number, in a step
    uint64_t rows = 100;  // that a step learns from
  };

  void add(size_t i, int64_t step_ns, bool start = true) {
    Trainer& trainer = trainers_[i] = Trainer{};
    const peers::Endpoint at{"loop", static_cast<uint16_t>(100 + i)};
    trainer.transport = std::make_unique<peers::LoopbackTransport>(network_, peer_of(i), at);
    trainer.line = std::make_unique<Line>(*trainer.transport, loop_);
    AveragingConfig config;
    config.steps_every = 10;
    config.learned = numbers_ - kSteered;
    config.outer = outer_;
    trainer.averaging = std::make_unique<Averaging>(loop_, *trainer.line, board_, config);
    trainer.parameter = std::make_unique<tensor::Parameter>(
        tensor::Parameter::vector("learned", config.learned, tensor::Train::no));
    trainer.steered = std::make_unique<tensor::Parameter>(
        tensor::Parameter::vector("steered", kSteered, tensor::Train::no));
    trainer.layout = std::make_unique<TrunkLayout>(std::vector{trainer.parameter.get()},
                                                   std::vector{trainer.steered.get()});
    trainer.layout->set_values(first_trunk(numbers_).values);
    trainer.step_ns = step_ns;
    trainer.adds = static_cast<float>(i + 1);
    board_.add_trainer(peer_of(i), at);
    if (!start) return;
    trainer.averaging->start(first_trunk(numbers_));
    train(i);
  }

  void train(size_t i) {
    Trainer& trainer = trainers_[i];
    if (trainer.step_ns == 0) return;
    std::vector<float> values = trainer.layout->values();
    for (float& value : values) value += trainer.adds;
    trainer.layout->set_values(values);
    trainer.averaging->step_done(trainer.rows, ++trainer.step, *trainer.layout);
    loop_.after(trainer.step_ns, [this, i] { train(i); });
  }

  // It has taken its last step.
  void finish(size_t i) {
    Trainer& trainer = trainers_[i];
    trainer.step_ns = 0;
    trainer.averaging->finish(trainer.step, *trainer.layout);
    if (trainer.averaging->since_round().steps == 0) return trainer.averaging->rest();
    loop_.after(50 * kMillisecondNs, [this, i] { finish(i); });
  }

  void kill(size_t i) {
    trainers_[i].step_ns = 0;
    trainers_[i].transport->stop();
  }
  AveragingCounters counters(size_t i) { return trainers_[i].averaging->counters(); }

  StatusOr<TrunkSnapshot> trunk_of(size_t i) {
    StatusOr<TrunkSnapshot> found = absl::UnknownError("no answer");
    peers::LoopbackTransport me(network_, peer_of(90), {"loop", 90});
    fetch_trunk(me, loop_, {peer_of(i), trainers_[i].transport->endpoint()}, TrunkPart::values_with_momentum,
                kNumbers, [&](StatusOr<TrunkSnapshot> trunk) { found = std::move(trunk); });
    loop_.run_for(kMillisecondNs);
    return found;
  }

  base::VirtualLoop loop_;
  OuterSettings outer_;
  size_t numbers_ = kNumbers;
  std::shared_ptr<peers::LoopbackNetwork> network_ = std::make_shared<peers::LoopbackNetwork>(loop_);
  Board board_;
  std::map<size_t, Trainer> trainers_;
  std::map<size_t, ByHand> by_hand_;
};

}  // namespace agora::swarm
