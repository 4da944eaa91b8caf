// A transport and a DHT with a switch before each: the ways by which directories find each other can be cut.
//
//   Switches switches;   SwitchedDht dht(std::move(inner), loop, switches);   switches.dht_cut = true;
//
// What is under way when a switch turns still arrives. The switches outlive both. Any thread turns them.
#pragma once

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "agora/base/loop.h"
#include "agora/peers/directory/dht.h"
#include "agora/peers/transport/transport.h"

namespace agora::tests {

struct Switches {
  std::atomic<bool> contact_cut = false;
  std::atomic<bool> dht_cut = false;
};

class SwitchedTransport final : public peers::Transport {
 public:
  SwitchedTransport(std::unique_ptr<peers::Transport> inner, base::Loop& loop, const Switches& switches)
      : inner_(std::move(inner)), loop_(loop), switches_(switches) {}

  const peers::PeerId& self() const override { return inner_->self(); }
  const peers::Endpoint& endpoint() const override { return inner_->endpoint(); }
  using Transport::call;
  peers::CallId call(const peers::CallSettings& settings, peers::Payload payload,
                     peers::CallEvents events) override {
    if (!switches_.contact_cut) return inner_->call(settings, std::move(payload), std::move(events));
    loop_.post(
        [done = std::move(events.done)] { done({.status = absl::UnavailableError("cut"), .from = {}}); });
    return {};
  }
  void cancel(peers::CallId call) override { inner_->cancel(call); }
  void serve(peers::Method method, peers::CallHandler handler) override {
    inner_->serve(method, std::move(handler));
  }
  void stop() override { inner_->stop(); }
  peers::TransportCounters counters() const override { return inner_->counters(); }

 private:
  std::unique_ptr<peers::Transport> inner_;
  base::Loop& loop_;
  const Switches& switches_;
};

class SwitchedDht final : public peers::Dht {
 public:
  SwitchedDht(std::unique_ptr<Dht> inner, base::Loop& loop, const Switches& switches)
      : inner_(std::move(inner)), loop_(loop), switches_(switches) {}

  void join(const peers::Endpoint& peer) override { inner_->join(peer); }
  void announce(const peers::SwarmId& swarm, const peers::Endpoint& self) override {
    if (!switches_.dht_cut) inner_->announce(swarm, self);
  }
  void find(const peers::SwarmId& swarm, Found found) override {
    if (!switches_.dht_cut) inner_->find(swarm, std::move(found));
  }
  void put(const peers::SwarmId& swarm, const peers::Endpoint& at, std::vector<std::byte> bytes) override {
    if (!switches_.dht_cut) inner_->put(swarm, at, std::move(bytes));
  }
  void get(const peers::SwarmId& swarm, const peers::Endpoint& at, Got got) override {
    if (!switches_.dht_cut) return inner_->get(swarm, at, std::move(got));
    loop_.post([got = std::move(got)] { got({}); });
  }

 private:
  std::unique_ptr<Dht> inner_;
  base::Loop& loop_;
  const Switches& switches_;
};

}  // namespace agora::tests
