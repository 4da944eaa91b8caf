// Hosts of the tests: each with a store, a loopback transport and a directory that tells everybody
// everything.
//
// Tests only; one thread, on virtual time.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agora/base/virtual_loop.h"
#include "agora/peers/transport/loopback.h"
#include "agora/swarm/host/host.h"
#include "agora/swarm/host/test_swarm.h"

namespace agora::swarm {

using base::kMillisecondNs;
using base::kSecondNs;

constexpr int64_t kTtlNs = 30 * kSecondNs;
constexpr int64_t kToldAfterNs = 100 * kMillisecondNs;

// One peer's loop, which can stand still as a stopped process does: what is due meanwhile runs afterwards, in
// its order, and late.
class StoppableLoop final : public base::Loop {
 public:
  explicit StoppableLoop(base::VirtualLoop& loop) : loop_(loop) {}
  int64_t now_ns() const override { return loop_.now_ns(); }
  void post(Task task) override { loop_.post(unless_stopped(std::move(task))); }
  base::TimerId at(int64_t when_ns, Task task) override {
    return loop_.at(when_ns, unless_stopped(std::move(task)));
  }
  void cancel(base::TimerId timer) override { loop_.cancel(timer); }

  bool stopped() const { return state_->stopped; }
  void stop() { state_->stopped = true; }
  void go_on() {
    state_->stopped = false;
    for (Task& task : std::exchange(state_->kept, {})) loop_.post(std::move(task));
  }

 private:
  struct State {
    bool stopped = false;
    std::vector<Task> kept;
  };
  Task unless_stopped(Task task) {
    return [state = state_, task = std::move(task)]() mutable {
      state->stopped ? state->kept.push_back(std::move(task)) : task();
    };
  }
  base::VirtualLoop& loop_;
  std::shared_ptr<State> state_ = std::make_shared<State>();  // shared with tasks that outlive the loop
};

// Tells everybody's records to everybody, a little late; who is killed is forgotten when its record expires.
class Gossip {
 public:
  explicit Gossip(base::VirtualLoop& loop) : loop_(loop) {}

  class Member final : public peers::Directory {
   public:
    Member(Gossip& gossip, StoppableLoop& loop, const peers::PeerId& id, peers::Endpoint at)
        : gossip_(gossip), loop_(loop) {
      own_.peer = id;
      own_.endpoint = std::move(at);
      gossip_.members_.push_back(this);
    }
    ~Member() override { std::erase(gossip_.members_, this); }
    void publish(std::string body) override {
      own_.body = std::move(body);
      ++own_.sequence;
      gossip_.tell(own_, group_, peers::DirectoryEvent::Kind::changed, kToldAfterNs);
    }
    void subscribe(Listener listener) override { listener_ = std::move(listener); }
    void join(const peers::Endpoint&) override {}
    using Directory::leave;
    void leave(std::function<void()> done) override {
      gossip_.tell(own_, group_, peers::DirectoryEvent::Kind::gone, kToldAfterNs);
      done();
    }
    void expire(int64_t after_ns = kTtlNs) {
      gossip_.tell(own_, group_, peers::DirectoryEvent::Kind::gone, after_ns);
    }
    const peers::Record& own() const { return own_; }
    std::vector<std::shared_ptr<const peers::Record>> records() const override { return {}; }
    peers::DirectoryCounters counters() const override { return {}; }
    // Groups do not hear each other: a network that has split.
    void be_in(int group) { group_ = group; }
    int group() const { return group_; }
    void be_deaf_for(int64_t ns) { deaf_until_ns_ = loop_.now_ns() + ns; }
    // What comes while the peer stands still is lost; that records expire it sees when it wakes.
    void hear(const peers::DirectoryEvent& event) {
      if (!listener_ || event.record->peer == own_.peer) return;
      const bool message = event.kind != peers::DirectoryEvent::Kind::gone;
      if (message && (loop_.stopped() || loop_.now_ns() < deaf_until_ns_)) return;
      loop_.post([listener = listener_, event] { listener(event); });
    }

   private:
    Gossip& gossip_;
    StoppableLoop& loop_;
    int64_t deaf_until_ns_ = 0;
    int group_ = 0;
    peers::Record own_;
    Listener listener_;
  };

 private:
  void tell(const peers::Record& record, int group, peers::DirectoryEvent::Kind kind, int64_t after_ns) {
    loop_.after(after_ns, [this, kind, group, copy = std::make_shared<const peers::Record>(record)] {
      for (Member* member : members_) {
        if (member->group() == group) member->hear({kind, copy});
      }
    });
  }

  base::VirtualLoop& loop_;
  std::vector<Member*> members_;
};

// One host with all that it needs, publishing once a second as a node does.
class TestNode {
 public:
  TestNode(base::VirtualLoop& loop, const std::shared_ptr<peers::LoopbackNetwork>& network, Gossip& gossip,
           const moe::TestCompute& machine, const SwarmSpec& spec, int number, HostOptions options)
      : loop(loop),
        transport(std::make_unique<peers::LoopbackTransport>(
            network, test_peer(number), peers::Endpoint{"host", static_cast<uint16_t>(number)})),
        directory(gossip, this->loop, test_peer(number), transport->endpoint()),
        executor(this->loop),
        store(make_store(machine, spec)) {
    options.seed = static_cast<uint64_t>(number);
    host = std::make_unique<Host>(this->loop, executor, this->loop, *transport, directory, *store, spec,
                                  options);
    publish();
  }
  ~TestNode() {
    transport->stop();
    loop.cancel(timer_);
  }
  // As kill -9 does: the record stays until it expires.
  void expire() { directory.expire(); }
  bool leads(ExpertName name) const {
    const auto holdings = store->holdings();
    return std::any_of(holdings.begin(), holdings.end(),
                       [&](const Holding& h) { return h.name == name && h.role == Role::leader; });
  }

 private:
  void publish() {
    PeerState state;
    host->describe(state);
    directory.publish(encode(state));
    timer_ = loop.after(kSecondNs, [this] { publish(); });
  }

  base::TimerId timer_;

 public:
  StoppableLoop loop;
  std::unique_ptr<peers::LoopbackTransport> transport;
  Gossip::Member directory;
  Executor executor;
  std::unique_ptr<ExpertStore> store;
  std::unique_ptr<Host> host;
};

}  // namespace agora::swarm
