// One connection between two peers: hello, then calls both ways. Neither gRPC nor threads of its own: frames
// go out through a Wire, frames that came are given to it.
//
//   auto session = std::make_shared<Session>(context, Session::Role::dialer);
//   session->attach(wire);   session->greet();   session->on_frame(pieces);   session->on_written(ok);
//   session->on_closed(status);
//   session->request(id, settings, payload);   session->retire();
//
// Both sides send hello at once and a proof when the other's hello has come; a side that has checked the
// other's proof is open. Requests wait until then. A frame is written by whoever adds it, if none is being
// written; otherwise when that one is done. on_frame() by one thread at a time, everything else by any.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "agora/base/clock.h"
#include "agora/base/mutex.h"
#include "agora/peers/transport/assembler.h"
#include "agora/peers/transport/calls.h"
#include "agora/peers/transport/frame_queue.h"
#include "agora/peers/transport/handlers.h"
#include "agora/peers/transport/hello.h"
#include "agora/peers/transport/limits.h"

namespace agora::peers {

class Session;

// What carries frames, in order and whole.
class Wire {
 public:
  virtual ~Wire() = default;
  // One at a time: Session::on_written() follows, also when the wire is broken. Not inside write().
  virtual void write(Frame frame) = 0;
  // The end: Session::on_closed() follows unless it came already. Any thread, any number of times. status:
  // what the other side may be told.
  virtual void abort(const Status& status) = 0;
  virtual PeerId peer() const = 0;  // proved by TLS; known when the first frame has come
};

struct Meters {
  std::atomic<uint64_t> calls_sent{0}, calls_received{0}, bytes_sent{0}, bytes_received{0}, frames_refused{0},
      connections_refused{0}, calls_dropped_late{0};
  std::atomic<int64_t> connections{0};
  TransportCounters read(const Calls& calls) const;
};

// What the sessions of one transport share.
struct SessionContext {
  SessionContext(const Clock& time, std::shared_ptr<Calls> open) : clock(time), calls(std::move(open)) {}

  PeerId self;
  uint64_t incarnation = 0;
  std::optional<SwarmKey> swarm_key;
  TransportLimits limits;
  const Clock& clock;
  std::shared_ptr<Calls> calls;
  Handlers handlers{};
  Meters meters{};
  // Called with no lock held. opened: false refuses the connection.
  std::function<Status(const std::shared_ptr<Session>&)> opened{};
  std::function<void(const std::shared_ptr<Session>&, const Status&)> closed{};
};

class Session final : public CallLink, public std::enable_shared_from_this<Session> {
 public:
  enum class Role : uint8_t { dialer, acceptor };

  // from: where an accepted one comes from.
  Session(std::shared_ptr<SessionContext> context, Role role, uint64_t dial = 0, Endpoint from = {});

  void attach(std::shared_ptr<Wire> wire);  // close() reaches it from then on
  void greet();                             // the wire carries frames from now on
  void on_frame(const Pieces& frame);
  void on_written(bool ok);
  void on_closed(const Status& status);

  // A call that has ended meanwhile is not sent. Unavailable: it retires; why it is closed, if it is;
  // ResourceExhausted: too much waits to be sent.
  Status request(CallId id, const CallSettings& settings, Payload payload);
  void cancel(CallId call) override;
  // No new calls; it closes when both sides have none left.
  void retire();
  void close(const Status& status);

  Role role() const { return role_; }
  const Endpoint& from() const { return from_; }
  bool usable() const;  // open or on the way there, and not retiring
  bool open() const;
  PeerId peer() const;  // empty until open
  uint64_t peer_incarnation() const;
  uint64_t dial() const;  // the dialing side's number

 private:
  friend class ServedCall;
  enum class State : uint8_t { greeting, proving, open, closed };

  Status on_hello(const Pieces& frame);
  Status on_proof(const Pieces& frame);
  Status on_call_frame(const FrameHeader& header, const Pieces& frame);
  Status on_request(Arrival arrival);
  void on_answer(Arrival arrival);
  void on_cancel(uint64_t call);
  void on_goodbye();

  bool send(Message message);
  void send_control(FrameKind kind, uint64_t call, Payload payload = {});
  void flush();
  void flush_or_close();
  bool awaits(uint64_t call) const;  // asked here, and neither answered nor given up
  bool call_ended(uint64_t call);    // false: it had already
  void say_goodbye();
  void served_ended(uint64_t call, size_t payload_bytes);
  void fail_call(uint64_t call, const Status& status);

  const std::shared_ptr<SessionContext> context_;
  const Role role_;
  const Endpoint from_;
  const Nonce nonce_;

  mutable base::Mutex mutex_;  // what goes out, and the state
  std::shared_ptr<Wire> wire_ ABSL_GUARDED_BY(mutex_);
  State state_ ABSL_GUARDED_BY(mutex_) = State::greeting;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool retiring_ ABSL_GUARDED_BY(mutex_) = false;
  bool goodbye_sent_ ABSL_GUARDED_BY(mutex_) = false, goodbye_received_ ABSL_GUARDED_BY(mutex_) = false;
  FrameQueue queue_ ABSL_GUARDED_BY(mutex_);
  std::unordered_set<uint64_t> asked_ ABSL_GUARDED_BY(mutex_);  // our calls that have no reply yet
  PeerId peer_ ABSL_GUARDED_BY(mutex_);
  Hello hello_ ABSL_GUARDED_BY(mutex_);  // the other side's
  uint64_t dial_ ABSL_GUARDED_BY(mutex_);
  Status reason_ ABSL_GUARDED_BY(mutex_);  // why we closed it

  base::Mutex in_mutex_;  // what comes in; taken after mutex_ never
  Assembler assembler_ ABSL_GUARDED_BY(in_mutex_);
  std::unordered_map<uint64_t, std::weak_ptr<class ServedCall>> served_ ABSL_GUARDED_BY(in_mutex_);
};

}  // namespace agora::peers
