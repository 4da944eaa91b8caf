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

// Tells everybody's records to everybody, a little late; who is killed is forgotten when its record expires.
class Gossip {
 public:
  explicit Gossip(base::VirtualLoop& loop) : loop_(loop) {}

  class Member final : public peers::Directory {
   public:
    Member(Gossip& gossip, const peers::PeerId& id, peers::Endpoint at) : gossip_(gossip) {
      own_.peer = id;
      own_.endpoint = std::move(at);
      gossip_.members_.push_back(this);
    }
    ~Member() override { std::erase(gossip_.members_, this); }
    void publish(std::string body) override {
      own_.body = std::move(body);
      ++own_.sequence;
      gossip_.tell(own_, peers::DirectoryEvent::Kind::changed, kToldAfterNs);
    }
    void subscribe(Listener listener) override { listener_ = std::move(listener); }
    void join(const peers::Endpoint&) override {}
    using Directory::leave;
    void leave(std::function<void()> done) override {
      gossip_.tell(own_, peers::DirectoryEvent::Kind::gone, kToldAfterNs);
      done();
    }
    void expire() { gossip_.tell(own_, peers::DirectoryEvent::Kind::gone, kTtlNs); }
    std::vector<std::shared_ptr<const peers::Record>> records() const override { return {}; }
    peers::DirectoryCounters counters() const override { return {}; }
    void hear(const peers::DirectoryEvent& event) {
      if (listener_ && event.record->peer != own_.peer) listener_(event);
    }

   private:
    Gossip& gossip_;
    peers::Record own_;
    Listener listener_;
  };

 private:
  void tell(const peers::Record& record, peers::DirectoryEvent::Kind kind, int64_t after_ns) {
    loop_.after(after_ns, [this, kind, copy = std::make_shared<const peers::Record>(record)] {
      for (Member* member : members_) member->hear({kind, copy});
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
      : loop_(loop),
        transport(std::make_unique<peers::LoopbackTransport>(
            network, test_peer(number), peers::Endpoint{"host", static_cast<uint16_t>(number)})),
        directory(gossip, test_peer(number), transport->endpoint()),
        executor(loop),
        store(make_store(machine, spec)) {
    options.seed = static_cast<uint64_t>(number);
    host = std::make_unique<Host>(loop, executor, loop, *transport, directory, *store, spec, options);
    publish();
  }
  ~TestNode() {
    transport->stop();
    loop_.cancel(timer_);
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
    timer_ = loop_.after(kSecondNs, [this] { publish(); });
  }

  base::VirtualLoop& loop_;
  base::TimerId timer_;

 public:
  std::unique_ptr<peers::LoopbackTransport> transport;
  Gossip::Member directory;
  Executor executor;
  std::unique_ptr<ExpertStore> store;
  std::unique_ptr<Host> host;
};

}  // namespace agora::swarm
