#include "agora/peers/transport/loopback.h"

#include <atomic>
#include <unordered_map>
#include <utility>
#include <vector>

#include "agora/base/text.h"
#include "agora/peers/transport/calls.h"
#include "agora/peers/transport/handlers.h"

namespace agora::peers {
namespace {

using base::MutexLock;

// The way of one call: what the peer that serves it may know of its caller.
struct LoopbackLink final : CallLink {
  void cancel(CallId) override { abandoned.store(true); }
  std::atomic<bool> abandoned{false};
  std::atomic<bool> answered{false};
};

}  // namespace

struct LoopbackPeer {
  LoopbackPeer(base::Loop& l, const PeerId& s, Endpoint at)
      : loop(l), self(s), endpoint(std::move(at)), calls(std::make_shared<Calls>(l)) {}

  base::Loop& loop;
  const PeerId self;
  const Endpoint endpoint;
  const std::shared_ptr<Calls> calls;
  Handlers handlers;
  std::atomic<uint64_t> sent{0}, received{0}, bytes_sent{0}, bytes_received{0}, refused{0}, late{0},
      connections_refused{0};
  // Being served, so that their callers learn of it when this peer goes.
  base::Mutex mutex;
  uint64_t last_served ABSL_GUARDED_BY(mutex) = 0;
  std::unordered_map<uint64_t, std::weak_ptr<IncomingCall>> served ABSL_GUARDED_BY(mutex);
  bool stopped ABSL_GUARDED_BY(mutex) = false;
};

namespace {

using PeerPtr = std::shared_ptr<LoopbackPeer>;

class LoopbackCall final : public IncomingCall {
 public:
  LoopbackCall(PeerPtr at, PeerPtr from, CallId id, std::shared_ptr<LoopbackLink> link,
               const CallSettings& settings, Payload payload, uint64_t number)
      : at_(std::move(at)),
        from_(std::move(from)),
        id_(id),
        link_(std::move(link)),
        settings_(settings),
        payload_(std::move(payload)),
        number_(number) {}

  ~LoopbackCall() override {
    reply(absl::UnavailableError("the peer dropped the call"), {}, 0);
    MutexLock lock(at_->mutex);
    at_->served.erase(number_);
  }

  const PeerId& from() const override { return from_->self; }
  Method method() const override { return settings_.method; }
  Priority priority() const override { return settings_.priority; }
  int64_t deadline_ns() const override { return settings_.deadline_ns; }
  uint64_t trace() const override { return settings_.trace; }
  const Payload& payload() const override { return payload_; }
  bool abandoned() const override {
    return link_->abandoned.load() || at_->loop.now_ns() >= settings_.deadline_ns;
  }

  void part(Payload payload) override {
    if (link_->answered.load()) return;
    count(payload);
    from_->loop.post([from = from_, id = id_, payload = std::move(payload)]() mutable {
      from->calls->part(id, std::move(payload));
    });
  }

  void reply(const Status& status, Payload payload, uint32_t load_us) override {
    send({.status = status,
          .from = at_->self,
          .load_us = load_us,
          .from_peer = true,
          .payload = std::move(payload)});
  }

  // The peer goes: its callers see what they would see of a broken connection.
  void break_off() {
    send({.status =
              absl::UnavailableError(base::concat("the connection to peer ", at_->self.brief(), " broke"))});
    link_->abandoned.store(true);
  }

 private:
  void send(Reply reply) {
    if (link_->answered.exchange(true)) return;
    count(reply.payload);
    from_->loop.post([from = from_, id = id_, reply = std::move(reply)]() mutable {
      from->bytes_received += reply.payload.size();
      from->calls->end(id, std::move(reply));
    });
  }
  void count(const Payload& payload) { at_->bytes_sent += payload.size(); }

  const PeerPtr at_, from_;
  const CallId id_;
  const std::shared_ptr<LoopbackLink> link_;
  const CallSettings settings_;
  const Payload payload_;
  const uint64_t number_;
};

// Null: the peer stops.
std::shared_ptr<LoopbackCall> arrive(const PeerPtr& at, const PeerPtr& from, CallId id,
                                     std::shared_ptr<LoopbackLink> link, const CallSettings& settings,
                                     Payload payload) {
  MutexLock lock(at->mutex);
  if (at->stopped) return nullptr;
  const uint64_t number = ++at->last_served;
  auto call =
      std::make_shared<LoopbackCall>(at, from, id, std::move(link), settings, std::move(payload), number);
  at->served.emplace(number, call);
  return call;
}

void deliver(const PeerPtr& from, const PeerPtr& to, CallId id, std::shared_ptr<LoopbackLink> link,
             const CallSettings& settings, Payload payload) {
  if (to == nullptr) {
    from->calls->end(id, {.status = absl::UnavailableError("no peer at " + settings.at.text())});
  } else if (!settings.to.empty() && settings.to != to->self) {
    ++from->connections_refused;
    from->calls->end(id, {.status = absl::PermissionDeniedError(
                              base::concat("expected peer ", settings.to.brief(), " at ", settings.at.text(),
                                           ", but ", to->self.brief(), " answered"))});
  } else if (link->abandoned.load() || to->loop.now_ns() >= settings.deadline_ns) {
    ++to->late;
  } else {
    ++to->received;
    to->bytes_received += payload.size();
    auto call = arrive(to, from, id, std::move(link), settings, std::move(payload));
    if (call == nullptr) {
      from->calls->end(id, {.status = absl::UnavailableError("the peer stops")});
    } else if (!to->handlers.handle(std::move(call))) {
      ++to->refused;
    }
  }
}

}  // namespace

void LoopbackNetwork::add(const Endpoint& at, std::shared_ptr<LoopbackPeer> peer) {
  MutexLock lock(mutex_);
  const bool free = peers_.emplace(at, std::move(peer)).second;
  AGORA_CHECK(free);
}

void LoopbackNetwork::remove(const Endpoint& at) {
  MutexLock lock(mutex_);
  peers_.erase(at);
}

std::shared_ptr<LoopbackPeer> LoopbackNetwork::find(const Endpoint& at) {
  MutexLock lock(mutex_);
  const auto found = peers_.find(at);
  return found == peers_.end() ? nullptr : found->second;
}

LoopbackTransport::LoopbackTransport(std::shared_ptr<LoopbackNetwork> network, const PeerId& self,
                                     Endpoint endpoint)
    : network_(std::move(network)),
      peer_(std::make_shared<LoopbackPeer>(network_->loop(), self, std::move(endpoint))) {
  network_->add(peer_->endpoint, peer_);
}

LoopbackTransport::~LoopbackTransport() { stop(); }

const PeerId& LoopbackTransport::self() const { return peer_->self; }
const Endpoint& LoopbackTransport::endpoint() const { return peer_->endpoint; }

CallId LoopbackTransport::call(const CallSettings& settings, Payload payload, CallEvents events) {
  auto link = std::make_shared<LoopbackLink>();
  const CallId id = peer_->calls->add(settings.deadline_ns, events, link);
  if (id == CallId{}) {
    events.done({.status = absl::CancelledError("the transport was stopped")});
    return id;
  }
  ++peer_->sent;
  const Status refused = check_call(settings, payload, peer_->self, peer_->endpoint);
  if (refused.ok()) peer_->bytes_sent += payload.size();
  peer_->loop.post([=, network = network_, from = peer_, payload = std::move(payload)]() mutable {
    if (!refused.ok()) {
      from->calls->end(id, {.status = refused});
    } else {
      deliver(from, network->find(settings.at), id, std::move(link), settings, std::move(payload));
    }
  });
  return id;
}

void LoopbackTransport::cancel(CallId call) {
  peer_->loop.post([from = peer_, call] { from->calls->cancel(call); });
}

void LoopbackTransport::serve(Method method, CallHandler handler) {
  peer_->handlers.serve(method, std::move(handler));
}

void LoopbackTransport::stop() {
  std::vector<std::shared_ptr<IncomingCall>> served;
  {
    MutexLock lock(peer_->mutex);
    if (peer_->stopped) return;
    peer_->stopped = true;
    for (const auto& [number, weak] : peer_->served) {
      if (auto call = weak.lock()) served.push_back(std::move(call));
    }
  }
  network_->remove(peer_->endpoint);
  for (const auto& call : served) static_cast<LoopbackCall&>(*call).break_off();
  peer_->handlers.stop();
  peer_->calls->stop();
}

TransportCounters LoopbackTransport::counters() const {
  const LoopbackPeer& p = *peer_;
  return {.calls_sent = p.sent,
          .calls_received = p.received,
          .bytes_sent = p.bytes_sent,
          .bytes_received = p.bytes_received,
          .calls_failed = p.calls->failed(),
          .frames_refused = p.refused,
          .connections_refused = p.connections_refused,
          .calls_dropped_late = p.late,
          .connections = 0};
}

}  // namespace agora::peers
