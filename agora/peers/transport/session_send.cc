// What goes out over a session, and its end. What comes in: session.cc.
#include <memory>
#include <utility>
#include <vector>

#include "agora/base/text.h"
#include "agora/peers/transport/served_call.h"
#include "agora/peers/transport/session.h"

namespace agora::peers {

using base::MutexLock;

Status Session::request(CallId id, const CallSettings& settings, Payload payload) {
  {
    MutexLock lock(mutex_);
    if (state_ == State::closed) return reason_;
    if (goodbye_sent_) return absl::UnavailableError("the connection closes");
    if (asked_.size() >= static_cast<size_t>(context_->limits.calls_per_peer_max)) {
      return absl::ResourceExhaustedError(
          base::concat("more than ", asked_.size(), " calls to one peer are open; wait for replies"));
    }
    const bool room = queue_.push({.header = {.kind = FrameKind::request,
                                              .priority = settings.priority,
                                              .method = settings.method,
                                              .side = Side::caller,
                                              .call = id.value,
                                              .trace = settings.trace},
                                   .payload = std::move(payload),
                                   .deadline_ns = settings.deadline_ns});
    if (!room) {
      return absl::ResourceExhaustedError("too much waits to be sent to the peer; wait for replies");
    }
    asked_.insert(id.value);
  }
  // Whoever ended it before it was here could not take it from here.
  if (!context_->calls->is_open(id)) cancel(id);
  flush();
  return absl::OkStatus();
}

void Session::cancel(CallId id) {
  {
    MutexLock lock(mutex_);
    if (asked_.erase(id.value) == 0) return;
    const bool unsent = queue_.drop(Side::caller, id.value);
    if (!unsent && state_ == State::open) {
      queue_.push_control({.kind = FrameKind::cancel, .side = Side::caller, .call = id.value});
    }
  }
  {
    MutexLock lock(in_mutex_);
    assembler_.drop(Side::host, id.value);
  }
  say_goodbye();
  flush();
}

void Session::fail_call(uint64_t call, const Status& status) {
  cancel(CallId{call});
  context_->calls->end(CallId{call}, {.status = status});
}

bool Session::awaits(uint64_t call) const {
  MutexLock lock(mutex_);
  return asked_.contains(call);
}

bool Session::call_ended(uint64_t call) {
  bool last = false;
  {
    MutexLock lock(mutex_);
    if (asked_.erase(call) == 0) return false;
    last = retiring_ && asked_.empty();
  }
  if (last) say_goodbye();
  return true;
}

void Session::served_ended(uint64_t call, size_t payload_bytes) {
  MutexLock lock(in_mutex_);
  served_.erase(call);
  assembler_.release(payload_bytes);
}

bool Session::send(Message message) {
  {
    MutexLock lock(mutex_);
    if (!reason_.ok()) return true;  // for nobody
    if (!queue_.push(std::move(message))) return false;
  }
  flush();
  return true;
}

void Session::send_control(FrameKind kind, uint64_t call, Payload payload) {
  {
    MutexLock lock(mutex_);
    queue_.push_control({.kind = kind, .call = call}, std::move(payload));
  }
  flush();
}

void Session::flush() {
  Frame frame;
  std::shared_ptr<Wire> wire;
  {
    MutexLock lock(mutex_);
    if (writing_ || wire_ == nullptr) return;
    // Calls wait for the proof.
    const bool any =
        state_ == State::open ? queue_.pop(context_->clock.now_ns(), &frame) : queue_.pop_control(&frame);
    if (!any) return;
    writing_ = true;
    wire = wire_;
  }
  context_->meters.bytes_sent += frame.size();
  wire->write(std::move(frame));
}

void Session::on_written(bool ok) {
  {
    MutexLock lock(mutex_);
    writing_ = false;
  }
  if (ok) flush_or_close();
}

void Session::retire() {
  {
    MutexLock lock(mutex_);
    retiring_ = true;
  }
  say_goodbye();
}

// When this side has no calls left here.
void Session::say_goodbye() {
  {
    MutexLock lock(mutex_);
    if (!retiring_ || state_ != State::open || !asked_.empty()) return;
    if (!goodbye_sent_) queue_.push_control({.kind = FrameKind::goodbye});
    goodbye_sent_ = true;
  }
  flush_or_close();
}

// The dialing side closes, when both have said goodbye and nothing is left to write.
void Session::flush_or_close() {
  bool done = false;
  {
    MutexLock lock(mutex_);
    done = role_ == Role::dialer && goodbye_sent_ && goodbye_received_ && queue_.empty() && !writing_;
  }
  if (done) return close(absl::UnavailableError("another connection to the peer took over"));
  flush();
}

// The end.

void Session::close(const Status& status) {
  std::shared_ptr<Wire> wire;
  {
    MutexLock lock(mutex_);
    if (reason_.ok()) reason_ = status;
    queue_.clear();  // none of it is sent any more
    wire = wire_;
  }
  if (wire != nullptr) wire->abort(status);
}

void Session::on_closed(const Status& status) {
  Status reason;
  std::shared_ptr<Wire> wire;
  {
    MutexLock lock(mutex_);
    if (state_ == State::closed) return;
    if (state_ == State::open) --context_->meters.connections;
    state_ = State::closed;
    if (reason_.ok()) reason_ = status;
    reason = reason_;
    wire = std::move(wire_);  // it holds this session, and this session it
  }
  std::vector<std::shared_ptr<ServedCall>> served;
  {
    MutexLock lock(in_mutex_);
    for (const auto& [id, weak] : served_) {
      if (auto call = weak.lock()) served.push_back(std::move(call));
    }
  }
  for (const auto& call : served) call->abandon();
  context_->closed(shared_from_this(), reason);
  context_->calls->end_link(this, reason);
}

bool Session::usable() const {
  MutexLock lock(mutex_);
  return state_ != State::closed && !retiring_ && reason_.ok();
}

bool Session::open() const {
  MutexLock lock(mutex_);
  return state_ == State::open;
}

PeerId Session::peer() const {
  MutexLock lock(mutex_);
  return peer_;
}

uint64_t Session::peer_incarnation() const {
  MutexLock lock(mutex_);
  return hello_.incarnation;
}

uint64_t Session::dial() const {
  MutexLock lock(mutex_);
  return dial_;
}

}  // namespace agora::peers
