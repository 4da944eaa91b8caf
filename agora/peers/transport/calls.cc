#include "agora/peers/transport/calls.h"

#include <utility>
#include <vector>

#include "agora/base/check.h"
#include "agora/base/text.h"
#include "agora/peers/transport/limits.h"

namespace agora::peers {

using base::MutexLock;

Status check_call(const CallSettings& settings, const Payload& payload, const PeerId& self,
                  const Endpoint& own) {
  if (settings.at.empty()) return absl::InvalidArgumentError("the call names no endpoint");
  if (settings.to == self || settings.at == own) {
    return absl::InvalidArgumentError("the call is to this peer itself; do the work in place");
  }
  if (payload.size() > kPayloadBytesMax) {
    return absl::InvalidArgumentError(base::concat("the payload has ", payload.size(), " bytes, more than ",
                                                   kPayloadBytesMax, "; send it in several calls"));
  }
  return absl::OkStatus();
}

CallId Calls::add(int64_t deadline_ns, CallEvents& events, std::shared_ptr<CallLink> link) {
  auto call = std::make_shared<Call>();
  CallId id;
  bool first = false;
  {
    MutexLock lock(mutex_);
    if (stopped_) return {};
    call->events = std::move(events);
    call->link = std::move(link);
    call->deadline_ns = deadline_ns;
    id.value = ++last_;
    calls_.emplace(id.value, std::move(call));
    deadlines_.emplace(deadline_ns, id.value);
    first = deadline_ns < armed_ns_;
  }
  if (first) arm(deadline_ns);
  return id;
}

void Calls::set_link(CallId id, std::shared_ptr<CallLink> link) {
  MutexLock lock(mutex_);
  const auto found = calls_.find(id.value);
  if (found != calls_.end()) found->second->link = std::move(link);
}

Calls::CallPtr Calls::take(CallId id, Reply* reply, std::shared_ptr<CallLink>* link) {
  MutexLock lock(mutex_);
  const auto found = calls_.find(id.value);
  if (found == calls_.end()) return nullptr;
  CallPtr call = std::move(found->second);
  calls_.erase(found);
  deadlines_.erase({call->deadline_ns, id.value});
  *link = std::move(call->link);
  if (!reply->status.ok() && !absl::IsCancelled(reply->status))
    failed_.fetch_add(1, std::memory_order_relaxed);
  if (call->handing_over) {
    call->ended = true;
    call->reply = std::move(*reply);
    return nullptr;
  }
  ++running_;
  return call;
}

void Calls::event_ended() {
  MutexLock lock(mutex_);
  if (--running_ == 0 && stopped_) quiet_.wake_all();
}

bool Calls::end(CallId id, Reply reply, Tell tell) {
  std::shared_ptr<CallLink> link;
  CallPtr call = take(id, &reply, &link);
  if (link != nullptr && tell == Tell::yes) link->cancel(id);
  if (call == nullptr) return link != nullptr;
  call->events.done(std::move(reply));
  call.reset();  // what the events hold goes before stop() may return
  event_ended();
  return true;
}

bool Calls::end(CallId id, Reply reply) { return end(id, std::move(reply), Tell::no); }

void Calls::cancel(CallId id) {
  end(id, {.status = absl::CancelledError("the caller cancelled the call")}, Tell::yes);
}

void Calls::part(CallId id, Payload payload) {
  CallPtr call;
  {
    MutexLock lock(mutex_);
    const auto found = calls_.find(id.value);
    if (found == calls_.end() || found->second->events.part == nullptr) return;
    call = found->second;
    AGORA_CHECK(!call->handing_over);
    call->handing_over = true;
    ++running_;
  }
  call->events.part(std::move(payload));
  bool ended = false;
  {
    MutexLock lock(mutex_);
    call->handing_over = false;
    ended = call->ended;
  }
  if (ended) call->events.done(std::move(call->reply));
  call.reset();
  event_ended();
}

void Calls::end_link(const CallLink* link, const Status& status) {
  std::vector<uint64_t> ids;
  {
    MutexLock lock(mutex_);
    for (const auto& [id, call] : calls_) {
      if (call->link.get() == link) ids.push_back(id);
    }
  }
  for (const uint64_t id : ids) end(CallId{id}, {.status = status});
}

bool Calls::is_open(CallId id) const {
  MutexLock lock(mutex_);
  return calls_.contains(id.value);
}

void Calls::arm(int64_t deadline_ns) {
  MutexLock lock(mutex_);
  if (deadline_ns >= armed_ns_) return;  // another thread armed it for sooner
  armed_ns_ = deadline_ns;
  loop_.cancel(timer_);
  timer_ = loop_.at(deadline_ns, [weak = weak_from_this()] {
    if (const auto calls = weak.lock()) calls->expire();
  });
}

void Calls::expire() {
  std::vector<uint64_t> due;
  int64_t next_ns = INT64_MAX;
  {
    MutexLock lock(mutex_);
    const int64_t now_ns = loop_.now_ns();
    armed_ns_ = INT64_MAX;
    for (const auto& [when_ns, id] : deadlines_) {
      if (when_ns > now_ns) {
        next_ns = when_ns;
        break;
      }
      due.push_back(id);
    }
  }
  if (next_ns != INT64_MAX) arm(next_ns);
  for (const uint64_t id : due) {
    end(CallId{id}, {.status = absl::DeadlineExceededError("no reply came before the call's deadline")},
        Tell::yes);
  }
}

void Calls::stop() {
  std::vector<uint64_t> ids;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    for (const auto& [id, call] : calls_) ids.push_back(id);
  }
  for (const uint64_t id : ids) {
    end(CallId{id}, {.status = absl::CancelledError("the transport was stopped")}, Tell::yes);
  }
  MutexLock lock(mutex_);
  while (running_ > 0) quiet_.wait(mutex_);
}

}  // namespace agora::peers
