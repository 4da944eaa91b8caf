// The calls of a transport that have no reply yet: each ends exactly once, its parts come before its reply.
//
//   CallId id = calls.add(settings.deadline_ns, events, link);
//   calls.part(id, payload);   calls.end(id, reply);   calls.cancel(id);   calls.end_link(link, status);
//   calls.stop();              // ends all (Cancelled) and returns when no event runs any more
//
// Events run on the thread that brings them, with no lock held. If a call ends on one thread while a part of
// it is handed over on another, that other thread hands over the reply after the part. The parts of one call
// are brought by one thread at a time. Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <set>
#include <unordered_map>
#include <utility>

#include "agora/base/loop.h"
#include "agora/base/mutex.h"
#include "agora/peers/transport/transport.h"

namespace agora::peers {

// InvalidArgument: why a call can not be made at all.
Status check_call(const CallSettings& settings, const Payload& payload, const PeerId& self,
                  const Endpoint& own);

// The way that a call took. It is told when its caller gives up.
class CallLink {
 public:
  virtual ~CallLink() = default;
  virtual void cancel(CallId call) = 0;
};

// Shared with the timer of the next deadline, which the loop may run when the transport has gone.
class Calls : public std::enable_shared_from_this<Calls> {
 public:
  explicit Calls(base::Loop& loop) : loop_(loop) {}  // keeps the deadlines

  // An empty id: stopped; the events are left where they are.
  CallId add(int64_t deadline_ns, CallEvents& events, std::shared_ptr<CallLink> link);

  void set_link(CallId id, std::shared_ptr<CallLink> link);

  // Nothing happens if there is no such call any more. end() tells whether there was.
  void part(CallId id, Payload payload);
  bool end(CallId id, Reply reply);
  void cancel(CallId id);  // its link is told
  void end_link(const CallLink* link, const Status& status);

  bool is_open(CallId id) const;
  uint64_t failed() const { return failed_.load(std::memory_order_relaxed); }  // but not cancelled
  void stop();

 private:
  struct Call {
    CallEvents events;
    std::shared_ptr<CallLink> link;
    int64_t deadline_ns = 0;
    bool handing_over = false;  // a part
    bool ended = false;         // meanwhile, with this reply
    Reply reply;
  };
  using CallPtr = std::shared_ptr<Call>;

  enum class Tell : uint8_t { no, yes };  // the link, that nobody waits any more
  bool end(CallId id, Reply reply, Tell tell);
  // Takes the call out; null: it is not there, or will be ended by whoever hands over its part.
  CallPtr take(CallId id, Reply* reply, std::shared_ptr<CallLink>* link);
  void expire();
  void arm(int64_t deadline_ns);
  void event_ended();

  base::Loop& loop_;
  std::atomic<uint64_t> failed_{0};
  mutable base::Mutex mutex_;
  base::Condition quiet_;
  std::unordered_map<uint64_t, CallPtr> calls_ ABSL_GUARDED_BY(mutex_);
  std::set<std::pair<int64_t, uint64_t>> deadlines_ ABSL_GUARDED_BY(mutex_);  // (when, id)
  uint64_t last_ ABSL_GUARDED_BY(mutex_) = 0;
  int running_ ABSL_GUARDED_BY(mutex_) = 0;      // events
  base::TimerId timer_ ABSL_GUARDED_BY(mutex_);  // the only one, for armed_ns_
  int64_t armed_ns_ ABSL_GUARDED_BY(mutex_) = INT64_MAX;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace agora::peers
