// What a session begins with, and what comes in. What goes out, and its end: session_send.cc.
#include "agora/peers/transport/session.h"

#include <utility>
#include <vector>

#include "agora/base/text.h"
#include "agora/peers/transport/foreign_text.h"
#include "agora/peers/transport/served_call.h"

namespace agora::peers {

using base::MutexLock;

TransportCounters Meters::read(const Calls& calls) const {
  return {.calls_sent = calls_sent,
          .calls_received = calls_received,
          .bytes_sent = bytes_sent,
          .bytes_received = bytes_received,
          .calls_failed = calls.failed(),
          .frames_refused = frames_refused,
          .connections_refused = connections_refused,
          .calls_dropped_late = calls_dropped_late,
          .connections = connections};
}

Session::Session(std::shared_ptr<SessionContext> context, Role role, uint64_t dial, Endpoint from)
    : context_(std::move(context)),
      role_(role),
      from_(std::move(from)),
      nonce_(random_nonce()),
      queue_(context_->limits.queue_bytes_per_peer_max,
             static_cast<size_t>(context_->limits.calls_per_peer_max) * kShortReplyBytesMax),
      dial_(dial),
      assembler_(context_->limits.bytes_per_peer_max,
                 static_cast<size_t>(context_->limits.calls_per_peer_max)) {}

void Session::attach(std::shared_ptr<Wire> wire) {
  MutexLock lock(mutex_);
  wire_ = std::move(wire);
}

void Session::greet() {
  const Hello hello{.incarnation = context_->incarnation,
                    .dial = dial(),
                    .nonce = nonce_,
                    .keyed = context_->swarm_key.has_value()};
  Status reason;
  {
    MutexLock lock(mutex_);
    reason = reason_;
  }
  if (!reason.ok()) return close(reason);  // closed before the wire could be told
  send_control(FrameKind::hello, 0, encode_hello(hello));
}

void Session::on_frame(const Pieces& frame) {
  const size_t size = frame.size();
  context_->meters.bytes_received += size;
  State state;
  {
    MutexLock lock(mutex_);
    if (!reason_.ok()) return;  // it is being closed; what still comes is not served
    state = state_;
  }
  HeaderBytes bytes{};
  frame.copy_to(0, std::span(bytes).first(std::min(bytes.size(), size)));
  const StatusOr<FrameHeader> header = parse_header(bytes, size);
  Status taken = header.status();
  if (header.ok() && state == State::open) {
    taken = on_call_frame(*header, frame);
  } else if (header.ok()) {
    const FrameKind expected = state == State::greeting ? FrameKind::hello : FrameKind::proof;
    if (size > kHelloBytesMax || header->kind != expected || header->text_bytes != 0) {
      taken = absl::InvalidArgumentError("expected the hello of an agora peer");
    } else {
      taken = state == State::greeting ? on_hello(frame) : on_proof(frame);
    }
  }
  if (taken.ok()) return;
  if (absl::IsInvalidArgument(taken)) ++context_->meters.frames_refused;
  if (state != State::open) ++context_->meters.connections_refused;
  close(taken);
}

Status Session::on_hello(const Pieces& frame) {
  std::vector<std::byte> bytes(frame.size() - kFrameHeaderBytes);
  frame.copy_to(kFrameHeaderBytes, bytes);
  AGORA_ASSIGN_OR_RETURN(Hello hello, parse_hello(bytes));
  std::shared_ptr<Wire> wire;
  {
    MutexLock lock(mutex_);
    wire = wire_;
  }
  if (wire == nullptr) return absl::OkStatus();  // closed meanwhile
  const PeerId peer = wire->peer();
  if (peer.empty()) return absl::PermissionDeniedError("the peer did not prove its key");
  if (peer == context_->self) {
    return absl::InvalidArgumentError("the call is to this peer itself; do the work in place");
  }
  const std::optional<SwarmKey>& key = context_->swarm_key;
  if (hello.keyed != key.has_value()) {
    return absl::PermissionDeniedError(hello.keyed ? "the swarm is private: --swarm-key FILE lets a peer in"
                                                   : "this swarm is private, and the peer has no swarm key");
  }
  Payload proof;
  if (key.has_value()) {
    proof = Payload::copy(swarm_proof(
        *key,
        {.prover = context_->self, .verifier = peer, .prover_nonce = nonce_, .verifier_nonce = hello.nonce}));
  }
  {
    MutexLock lock(mutex_);
    if (state_ != State::greeting) return absl::OkStatus();
    if (role_ == Role::acceptor) dial_ = hello.dial;
    hello_ = std::move(hello);
    peer_ = peer;
    state_ = State::proving;
  }
  send_control(FrameKind::proof, 0, std::move(proof));
  return absl::OkStatus();
}

Status Session::on_proof(const Pieces& frame) {
  const std::optional<SwarmKey>& key = context_->swarm_key;
  const size_t size = frame.size() - kFrameHeaderBytes;
  Proof proof{};
  if (size != (key.has_value() ? proof.size() : 0))
    return absl::InvalidArgumentError("not a proof of a swarm key");
  frame.copy_to(kFrameHeaderBytes, std::span(proof).first(size));
  {
    MutexLock lock(mutex_);
    if (state_ != State::proving) return absl::OkStatus();
    if (key.has_value() && !same_proof(proof, swarm_proof(*key, {.prover = peer_,
                                                                 .verifier = context_->self,
                                                                 .prover_nonce = hello_.nonce,
                                                                 .verifier_nonce = nonce_}))) {
      return absl::PermissionDeniedError("the peer has another swarm key");
    }
    state_ = State::open;
  }
  ++context_->meters.connections;
  AGORA_RETURN_IF_ERROR(context_->opened(shared_from_this()));
  flush();
  return absl::OkStatus();
}

Status Session::on_call_frame(const FrameHeader& header, const Pieces& frame) {
  switch (header.kind) {
    case FrameKind::cancel:
      on_cancel(header.call);
      return absl::OkStatus();
    case FrameKind::goodbye:
      on_goodbye();
      return absl::OkStatus();
    case FrameKind::hello:
    case FrameKind::proof:
      return absl::InvalidArgumentError("a second hello");
    default:
      break;
  }
  StatusOr<std::optional<Arrival>> arrival;
  {
    MutexLock lock(in_mutex_);
    const bool answers = header.kind == FrameKind::part || header.kind == FrameKind::reply;
    // Under this lock: who gives a call up takes it afterwards, and throws away what has begun until then.
    if (answers && !awaits(header.call)) return absl::OkStatus();
    arrival = assembler_.take(header, frame, context_->clock.now_ns());
  }
  if (!arrival.ok() || !arrival->has_value()) return arrival.status();
  if ((*arrival)->header.kind == FrameKind::request) return on_request(**std::move(arrival));
  on_answer(**std::move(arrival));
  return absl::OkStatus();
}

Status Session::on_request(Arrival arrival) {
  ++context_->meters.calls_received;
  const int64_t deadline_ns = arrival.since_ns + int64_t{arrival.header.number} * 1000;
  if (deadline_ns <= context_->clock.now_ns()) {
    ++context_->meters.calls_dropped_late;
    return absl::OkStatus();
  }
  const uint64_t id = arrival.header.call;
  const size_t payload_bytes = arrival.payload.size();
  bool too_much = arrival.too_much;
  std::shared_ptr<ServedCall> call;
  {
    MutexLock lock(in_mutex_);
    if (served_.contains(id)) return absl::InvalidArgumentError(base::concat("call ", id, " comes twice"));
    too_much = too_much || served_.size() >= static_cast<size_t>(context_->limits.calls_per_peer_max);
    call = std::make_shared<ServedCall>(shared_from_this(), peer(), deadline_ns, std::move(arrival));
    served_.emplace(id, call);
    assembler_.hold(payload_bytes);
  }
  if (too_much) {
    call->reply(absl::ResourceExhaustedError("the peer has too much of this caller's in hand; try later"), {},
                0);
  } else if (!context_->handlers.handle(std::move(call))) {
    ++context_->meters.frames_refused;
  }
  return absl::OkStatus();
}

void Session::on_answer(Arrival arrival) {
  const uint64_t id = arrival.header.call;
  if (arrival.too_much) {
    fail_call(
        id, absl::ResourceExhaustedError("the answer is larger than this peer takes; ask for less at once"));
  } else if (arrival.header.kind == FrameKind::part) {
    context_->calls->part(CallId{id}, std::move(arrival.payload));
  } else if (call_ended(id)) {
    context_->calls->end(CallId{id}, {.status = Status(arrival.header.code, printable(arrival.text)),
                                      .from = peer(),
                                      .load_us = arrival.header.number,
                                      .from_peer = true,
                                      .payload = std::move(arrival.payload)});
  }
}

void Session::on_cancel(uint64_t id) {
  std::shared_ptr<ServedCall> call;  // let go of without the lock: its end takes it
  {
    MutexLock lock(in_mutex_);
    assembler_.drop(Side::caller, id);
    const auto found = served_.find(id);
    if (found != served_.end()) call = found->second.lock();
  }
  if (call == nullptr) return;
  call->abandon();
  MutexLock lock(mutex_);
  queue_.drop(Side::host, id);
}

void Session::on_goodbye() {
  {
    MutexLock lock(mutex_);
    goodbye_received_ = true;
  }
  retire();
}

}  // namespace agora::peers
