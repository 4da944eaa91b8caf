#include "agora/sim/transport.h"

#include <algorithm>
#include <unordered_map>
#include <utility>
#include <vector>

#include "agora/base/check.h"
#include "agora/base/text.h"
#include "agora/peers/transport/calls.h"
#include "agora/peers/transport/frame.h"
#include "agora/peers/transport/handlers.h"

namespace agora::sim {

using peers::CallId;
using peers::CallSettings;
using peers::Payload;
using peers::Reply;

namespace {

size_t frame_bytes(const Payload& payload) { return peers::kFrameHeaderBytes + payload.size(); }

Status broken(const peers::PeerId& peer) {
  return absl::UnavailableError(base::concat("the connection to peer ", peer.brief(), " broke"));
}

}  // namespace

class SimCall;

// The part of a transport that what is under way holds on to.
struct SimNode : std::enable_shared_from_this<SimNode> {
  SimNode(std::shared_ptr<Switchboard> board, std::shared_ptr<PeerLoop> its_loop, const peers::PeerId& id,
          peers::Endpoint at, Place where)
      : switchboard(std::move(board)),
        loop(std::move(its_loop)),
        self(id),
        endpoint(std::move(at)),
        place(where),
        calls(std::make_shared<peers::Calls>(*loop)) {}

  Fate send_to(Place to, size_t bytes, MessageKind kind) const {
    return switchboard->network().send(place, to, bytes, loop->world_now_ns(), kind);
  }
  base::VirtualLoop& world() const { return switchboard->world(); }

  // What was asked of nobody, or answered into silence, ends when pings have gone unanswered.
  void end_after_silence(CallId id) {
    world().after(kSilenceNs, [self_weak = weak_from_this(), id] {
      const auto node = self_weak.lock();
      if (node == nullptr || !node->calls->is_open(id)) return;
      node->loop->arrive([node, id] {
        node->calls->end(id, {.status = absl::UnavailableError("the peer does not answer pings")});
      });
    });
  }

  const std::shared_ptr<Switchboard> switchboard;
  const std::shared_ptr<PeerLoop> loop;
  const peers::PeerId self;
  const peers::Endpoint endpoint;
  const Place place;
  const std::shared_ptr<peers::Calls> calls;
  peers::Handlers handlers;
  peers::TransportCounters counts;
  uint64_t last_served = 0;
  std::unordered_map<uint64_t, std::weak_ptr<SimCall>> served;
  bool gone = false;
  bool silent = false;                // nothing leaves here any more
  int64_t known_gone_ns = INT64_MAX;  // of the world: then those that it called know
};

using NodePtr = std::shared_ptr<SimNode>;

// What is known of a call at both its ends.
struct SimLink final : peers::CallLink {
  SimLink(NodePtr caller, const CallSettings& its_settings)
      : from(std::move(caller)), settings(its_settings) {}

  // The peer is told, a little later; not by a machine that went.
  void cancel(CallId) override {
    if (from->silent) return;
    const Fate fate = from->send_to(place, peers::kFrameHeaderBytes, MessageKind::answer);
    if (fate.copies == 0) return;
    from->world().at(fate.at_ns[0], [weak = weak_self] {
      if (const auto link = weak.lock()) link->abandoned = true;
    });
  }

  const NodePtr from;
  const CallSettings settings;
  Place place;  // of the peer that is called
  std::weak_ptr<SimLink> weak_self;
  CallId id;
  bool abandoned = false;
};

using LinkPtr = std::shared_ptr<SimLink>;

class SimCall final : public peers::IncomingCall {
 public:
  SimCall(NodePtr at, LinkPtr link, Payload payload, int64_t left_ns, uint64_t number)
      : at_(std::move(at)),
        link_(std::move(link)),
        payload_(std::move(payload)),
        deadline_ns_(at_->loop->now_ns() + left_ns),
        number_(number) {}

  ~SimCall() override {
    reply(absl::UnavailableError("the peer dropped the call"), {}, 0);
    at_->served.erase(number_);
  }

  const peers::PeerId& from() const override { return link_->from->self; }
  peers::Method method() const override { return link_->settings.method; }
  peers::Priority priority() const override { return link_->settings.priority; }
  int64_t deadline_ns() const override { return deadline_ns_; }
  uint64_t trace() const override { return link_->settings.trace; }
  const Payload& payload() const override { return payload_; }
  bool abandoned() const override {
    return broken_ || link_->abandoned || at_->loop->now_ns() >= deadline_ns_ ||
           at_->world().now_ns() >= link_->from->known_gone_ns;
  }

  void part(Payload payload) override {
    if (answered_ || at_->gone) return;
    send(frame_bytes(payload), [from = link_->from, id = link_->id, payload]() mutable {
      from->calls->part(id, std::move(payload));
    });
  }

  void reply(const Status& status, Payload payload, uint32_t load_us) override {
    if (std::exchange(answered_, true) || at_->gone) return;
    const size_t bytes = frame_bytes(payload) + status.message().size();
    Reply reply{.status = status,
                .from = at_->self,
                .load_us = load_us,
                .from_peer = true,
                .payload = std::move(payload)};
    at_->counts.bytes_sent += reply.payload.size();
    send(bytes, [from = link_->from, id = link_->id, reply = std::move(reply)]() mutable {
      from->counts.bytes_received += reply.payload.size();
      from->calls->end(id, std::move(reply));
    });
  }

  uint64_t number() const { return number_; }

  // The peer goes: its caller sees the connection break.
  void break_off() {
    broken_ = true;
    if (std::exchange(answered_, true)) return;
    send(peers::kFrameHeaderBytes, [from = link_->from, id = link_->id, peer = at_->self] {
      from->calls->end(id, {.status = broken(peer)});
    });
  }
  void fall_silent() {
    broken_ = true;
    if (!std::exchange(answered_, true)) link_->from->end_after_silence(link_->id);
  }

 private:
  // Parts come in their order and before the reply; where one is lost the rest is not of use, and is lost
  // too.
  template <class Arrive>
  void send(size_t bytes, Arrive arrive) {
    if (lost_) return;
    const Fate fate = at_->send_to(link_->from->place, bytes, MessageKind::answer);
    lost_ = fate.copies == 0;
    if (fate.cut) link_->from->end_after_silence(link_->id);
    if (lost_) return;
    last_ns_ = std::max(last_ns_, fate.at_ns[0]);
    at_->world().at(last_ns_, [from = link_->from, arrive = std::move(arrive)]() mutable {
      from->loop->arrive(std::move(arrive));
    });
  }

  const NodePtr at_;
  const LinkPtr link_;
  const Payload payload_;
  const int64_t deadline_ns_;
  const uint64_t number_;
  bool answered_ = false, broken_ = false, lost_ = false;
  int64_t last_ns_ = 0;
};

namespace {

// An answer that the way made up: it takes the time of the way back.
void bounce(const LinkPtr& link, Status status) {
  const NodePtr& from = link->from;
  Network& network = from->switchboard->network();
  const int64_t back_ns = network.mean_latency_ns(link->place, from->place);
  from->world().after(back_ns, [from, id = link->id, status = std::move(status)] {
    from->loop->arrive([from, id, status] { from->calls->end(id, {.status = status}); });
  });
}

// A request has come to a living process.
void take(const NodePtr& to, const LinkPtr& link, const Payload& payload, int64_t left_ns) {
  const CallSettings& settings = link->settings;
  if (!settings.to.empty() && settings.to != to->self) {
    ++link->from->counts.connections_refused;
    return bounce(link, absl::PermissionDeniedError(base::concat("expected peer ", settings.to.brief(),
                                                                 " at ", settings.at.text(), ", but ",
                                                                 to->self.brief(), " answered")));
  }
  if (link->abandoned || left_ns <= 0) {
    ++to->counts.calls_dropped_late;
    return;
  }
  ++to->counts.calls_received;
  to->counts.bytes_received += payload.size();
  const uint64_t number = ++to->last_served;
  auto call = std::make_shared<SimCall>(to, link, payload, left_ns, number);
  to->served.emplace(number, call);
  if (!to->handlers.handle(std::move(call))) ++to->counts.frames_refused;
}

}  // namespace

SimTransport::SimTransport(std::shared_ptr<Switchboard> switchboard, std::shared_ptr<PeerLoop> loop,
                           const peers::PeerId& self, const peers::Endpoint& endpoint, Place place)
    : switchboard_(std::move(switchboard)),
      node_(std::make_shared<SimNode>(switchboard_, std::move(loop), self, endpoint, place)) {
  Switchboard::Address& address = switchboard_->addresses_[endpoint];
  AGORA_CHECK(address.node == nullptr);
  address = {.place = place, .node = node_};
}

SimTransport::~SimTransport() { stop(); }

const peers::PeerId& SimTransport::self() const { return node_->self; }
const peers::Endpoint& SimTransport::endpoint() const { return node_->endpoint; }
peers::TransportCounters SimTransport::counters() const {
  peers::TransportCounters counters = node_->counts;
  counters.calls_failed = node_->calls->failed();
  return counters;
}

CallId SimTransport::call(const CallSettings& settings, Payload payload, peers::CallEvents events) {
  const auto link = std::make_shared<SimLink>(node_, settings);
  link->weak_self = link;
  const CallId id = node_->calls->add(settings.deadline_ns, events, link);
  if (id == CallId{}) {
    events.done({.status = absl::CancelledError("the transport was stopped")});
    return id;
  }
  link->id = id;
  ++node_->counts.calls_sent;
  Status refused = peers::check_call(settings, payload, node_->self, node_->endpoint);
  const auto address = switchboard_->addresses_.find(settings.at);
  if (refused.ok() && address == switchboard_->addresses_.end()) {
    refused = absl::UnavailableError("no peer at " + settings.at.text());
  }
  if (!refused.ok()) {
    node_->loop->post([node = node_, id, refused] { node->calls->end(id, {.status = refused}); });
    return id;
  }
  link->place = address->second.place;
  node_->counts.bytes_sent += payload.size();
  const int64_t left_ns = std::min(settings.deadline_ns - node_->loop->now_ns(), peers::kDeadlineNsMax);
  const Fate fate = node_->send_to(link->place, frame_bytes(payload), MessageKind::request);
  if (fate.cut) node_->end_after_silence(id);
  for (int i = 0; i < fate.copies; ++i) {
    switchboard_->world().at(fate.at_ns[i], [link, payload, left_ns, board = switchboard_] {
      const Switchboard::Address& there = board->addresses_.at(link->settings.at);
      if (there.node == nullptr) {
        if (there.nobody == Death::silent) return link->from->end_after_silence(link->id);
        return bounce(link, absl::UnavailableError("no peer at " + link->settings.at.text()));
      }
      if (there.node->loop->frozen()) link->from->end_after_silence(link->id);
      there.node->loop->arrive(
          [to = there.node, link, payload, left_ns] { take(to, link, payload, left_ns); });
    });
  }
  return id;
}

void SimTransport::cancel(CallId call) {
  node_->loop->post([node = node_, call] { node->calls->cancel(call); });
}

void SimTransport::serve(peers::Method method, peers::CallHandler handler) {
  node_->handlers.serve(method, std::move(handler));
}

void SimTransport::stop() { end(Death::refused, true); }
void SimTransport::crash(Death death) { end(death, death == Death::refused); }

// breaks: those whose calls are served here learn that the connection broke.
void SimTransport::end(Death death, bool breaks) {
  if (node_->gone) return;
  Switchboard::Address& address = switchboard_->addresses_.at(node_->endpoint);
  address.node = nullptr;
  address.nobody = death;
  std::vector<std::shared_ptr<SimCall>> served;
  for (const auto& [number, weak] : node_->served) {
    if (auto call = weak.lock()) served.push_back(std::move(call));
  }
  std::ranges::sort(served, {}, [](const auto& call) { return call->number(); });
  for (const auto& call : served) breaks ? call->break_off() : call->fall_silent();
  node_->gone = true;
  node_->silent = !breaks;
  node_->known_gone_ns = node_->world().now_ns() + (breaks ? kMillisecondNs : kSilenceNs);
  node_->handlers.stop();
  node_->calls->stop();
}

}  // namespace agora::sim
