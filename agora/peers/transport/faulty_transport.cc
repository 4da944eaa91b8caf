#include "agora/peers/transport/faulty_transport.h"

#include <algorithm>
#include <atomic>
#include <unordered_map>
#include <utility>

#include "agora/base/mutex.h"
#include "agora/peers/transport/calls.h"
#include "agora/peers/transport/gate.h"

namespace agora::peers {

using base::MutexLock;

namespace {

constexpr size_t kSwallowedMax = 65536;  // requests that a black hole keeps from being answered

// What has been drawn for one call.
struct Fate {
  bool request_lost = false, reply_lost = false, twice = false;
  int64_t request_delay_ns = 0, second_delay_ns = 0;
};

}  // namespace

struct FaultyTransport::State : std::enable_shared_from_this<FaultyTransport::State> {
  class Link;
  class Incoming;

  State(Transport& i, base::Loop& l, Rng r, Faults f)
      : inner(i), loop(l), calls(std::make_shared<Calls>(l)), rng(r), faults(std::move(f)) {}

  Fate draw();
  int64_t draw_delay() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  bool draw_chance(double share) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  int64_t reply_delay();
  bool hole_to(const PeerId& peer);
  bool hole_from(const PeerId& peer);
  void swallow(std::shared_ptr<IncomingCall> call);
  void send(const std::shared_ptr<Link>& link, CallId id, const CallSettings& settings,
            const Payload& payload, bool reply_lost);
  void bring(const std::shared_ptr<Link>& link, const PeerId& from, base::Loop::Task task);

  Transport& inner;
  Gate gate;  // around what the loop does with inner, which may go once we have stopped
  base::Loop& loop;
  const std::shared_ptr<Calls> calls;
  base::Mutex mutex;
  Rng rng ABSL_GUARDED_BY(mutex);
  Faults faults ABSL_GUARDED_BY(mutex);
  FaultCounters seen ABSL_GUARDED_BY(mutex);
  uint64_t last_swallowed ABSL_GUARDED_BY(mutex) = 0;
  std::unordered_map<uint64_t, std::shared_ptr<IncomingCall>> swallowed ABSL_GUARDED_BY(mutex);
  bool stopped ABSL_GUARDED_BY(mutex) = false;
};

// A call's way through the inner transport.
class FaultyTransport::State::Link final : public CallLink {
 public:
  explicit Link(const std::shared_ptr<State>& state) : state_(state) {}

  void cancel(CallId) override {
    cancelled_.store(true);
    const auto state = state_.lock();
    if (state != nullptr && inner_.load() != 0) state->inner.cancel(CallId{inner_.load()});
  }
  bool cancelled() const { return cancelled_.load(); }
  void set_inner(CallId inner) { inner_.store(inner.value); }

  // Not before what was brought last, so that parts keep their order.
  int64_t after_last(int64_t when_ns) {
    MutexLock lock(mutex_);
    last_ns_ = std::max(last_ns_, when_ns);
    return last_ns_;
  }

 private:
  const std::weak_ptr<State> state_;
  std::atomic<bool> cancelled_{false};
  std::atomic<uint64_t> inner_{0};
  base::Mutex mutex_;
  int64_t last_ns_ ABSL_GUARDED_BY(mutex_) = 0;
};

// A request whose answers may fall into a black hole.
class FaultyTransport::State::Incoming final : public IncomingCall {
 public:
  Incoming(std::shared_ptr<State> state, std::shared_ptr<IncomingCall> call)
      : state_(std::move(state)), call_(std::move(call)) {}
  ~Incoming() override {
    if (!replied_.load() && state_->hole_to(from())) state_->swallow(std::move(call_));
  }

  const PeerId& from() const override { return call_->from(); }
  Method method() const override { return call_->method(); }
  Priority priority() const override { return call_->priority(); }
  int64_t deadline_ns() const override { return call_->deadline_ns(); }
  uint64_t trace() const override { return call_->trace(); }
  const Payload& payload() const override { return call_->payload(); }
  bool abandoned() const override { return call_->abandoned(); }

  void part(Payload payload) override {
    if (!state_->hole_to(from())) call_->part(std::move(payload));
  }
  void reply(const Status& status, Payload payload, uint32_t load_us) override {
    if (replied_.exchange(true)) return;
    if (state_->hole_to(from())) {
      state_->swallow(call_);
    } else {
      call_->reply(status, std::move(payload), load_us);
    }
  }

 private:
  const std::shared_ptr<State> state_;
  std::shared_ptr<IncomingCall> call_;
  std::atomic<bool> replied_{false};
};

bool FaultyTransport::State::draw_chance(double share) { return share > 0 && rng.uniform_double() < share; }

int64_t FaultyTransport::State::draw_delay() {
  int64_t delay_ns = faults.delay_ns;
  if (faults.jitter_ns > 0) {
    delay_ns += static_cast<int64_t>(rng.uniform_double() * static_cast<double>(faults.jitter_ns + 1));
  }
  if (draw_chance(faults.reorder)) {
    ++seen.held_back;
    delay_ns += static_cast<int64_t>(rng.uniform_double() * static_cast<double>(faults.reorder_ns + 1));
  }
  if (delay_ns > 0) ++seen.delayed;
  return delay_ns;
}

int64_t FaultyTransport::State::reply_delay() {
  MutexLock lock(mutex);
  return draw_delay();
}

Fate FaultyTransport::State::draw() {
  MutexLock lock(mutex);
  Fate fate;
  fate.request_lost = draw_chance(faults.loss);
  fate.reply_lost = draw_chance(faults.loss);
  fate.twice = draw_chance(faults.duplicate);
  fate.request_delay_ns = draw_delay();
  if (fate.twice) fate.second_delay_ns = draw_delay();
  seen.lost += fate.request_lost || fate.reply_lost ? 1 : 0;
  seen.duplicated += fate.twice ? 1 : 0;
  return fate;
}

bool FaultyTransport::State::hole_to(const PeerId& peer) {
  MutexLock lock(mutex);
  const bool hole = faults.to_nobody || faults.to.contains(peer);
  seen.swallowed += hole ? 1 : 0;
  return hole;
}

bool FaultyTransport::State::hole_from(const PeerId& peer) {
  MutexLock lock(mutex);
  const bool hole = faults.from_nobody || faults.from.contains(peer);
  seen.swallowed += hole ? 1 : 0;
  return hole;
}

// Kept until nobody waits for its answer any more: let go of, it would answer by itself.
void FaultyTransport::State::swallow(std::shared_ptr<IncomingCall> call) {
  const int64_t until_ns = call->deadline_ns();
  uint64_t number = 0;
  {
    MutexLock lock(mutex);
    if (stopped || swallowed.size() >= kSwallowedMax) return;
    number = ++last_swallowed;
    swallowed.emplace(number, std::move(call));
  }
  loop.at(until_ns, [weak = weak_from_this(), number] {
    const auto state = weak.lock();
    if (state == nullptr) return;
    std::shared_ptr<IncomingCall> over;  // let go of without the lock
    MutexLock lock(state->mutex);
    const auto found = state->swallowed.find(number);
    if (found == state->swallowed.end()) return;
    over = std::move(found->second);
    state->swallowed.erase(found);
  });
}

// From the peer to the caller, after its delay.
void FaultyTransport::State::bring(const std::shared_ptr<Link>& link, const PeerId& from,
                                   base::Loop::Task task) {
  if (!from.empty() && hole_from(from)) return;
  loop.at(link->after_last(loop.now_ns() + reply_delay()), std::move(task));
}

void FaultyTransport::State::send(const std::shared_ptr<Link>& link, CallId id, const CallSettings& settings,
                                  const Payload& payload, bool reply_lost) {
  if (link->cancelled()) return;
  CallEvents events;
  events.done = [self = shared_from_this(), link, id, reply_lost, to = settings.to](Reply reply) {
    if (reply_lost) return;
    const PeerId from = reply.from.empty() ? to : reply.from;
    self->bring(link, from, [calls = self->calls, id, reply = std::move(reply)] { calls->end(id, reply); });
  };
  events.part = [self = shared_from_this(), link, id, reply_lost, to = settings.to](Payload part) {
    if (reply_lost) return;
    self->bring(link, to, [calls = self->calls, id, part = std::move(part)] { calls->part(id, part); });
  };
  if (!gate.enter()) return;
  link->set_inner(inner.call(settings, payload, std::move(events)));
  gate.leave();
}

FaultyTransport::FaultyTransport(Transport& inner, base::Loop& loop, Rng rng, Faults faults)
    : state_(std::make_shared<State>(inner, loop, rng, std::move(faults))) {}

FaultyTransport::~FaultyTransport() { stop(); }

void FaultyTransport::set_faults(Faults faults) {
  MutexLock lock(state_->mutex);
  state_->faults = std::move(faults);
}

FaultCounters FaultyTransport::faults_seen() const {
  MutexLock lock(state_->mutex);
  return state_->seen;
}

const PeerId& FaultyTransport::self() const { return state_->inner.self(); }
const Endpoint& FaultyTransport::endpoint() const { return state_->inner.endpoint(); }
TransportCounters FaultyTransport::counters() const {
  TransportCounters counters = state_->inner.counters();
  counters.calls_failed = state_->calls->failed();
  return counters;
}

CallId FaultyTransport::call(const CallSettings& settings, Payload payload, CallEvents events) {
  State& state = *state_;
  auto link = std::make_shared<State::Link>(state_);
  const CallId id = state.calls->add(settings.deadline_ns, events, link);
  if (id == CallId{}) {
    events.done({.status = absl::CancelledError("the transport was stopped")});
    return id;
  }
  const Fate fate = state.draw();
  if (fate.request_lost || state.hole_to(settings.to)) return id;  // its deadline ends it
  const int64_t now_ns = state.loop.now_ns();
  if (fate.twice) {
    state.loop.at(now_ns + fate.second_delay_ns, [state = state_, settings, payload] {
      if (!state->gate.enter()) return;
      state->inner.call(settings, payload, [](const Reply&) {});
      state->gate.leave();
    });
  }
  state.loop.at(now_ns + fate.request_delay_ns,
                [state = state_, link, id, settings, payload = std::move(payload), lost = fate.reply_lost] {
                  state->send(link, id, settings, payload, lost);
                });
  return id;
}

void FaultyTransport::cancel(CallId call) {
  state_->loop.post([calls = state_->calls, call] { calls->cancel(call); });
}

void FaultyTransport::serve(Method method, CallHandler handler) {
  state_->inner.serve(method,
                      [state = state_, handler = std::move(handler)](std::shared_ptr<IncomingCall> call) {
                        if (state->hole_from(call->from())) {
                          state->swallow(std::move(call));
                        } else {
                          handler(std::make_shared<State::Incoming>(state, std::move(call)));
                        }
                      });
}

void FaultyTransport::stop() {
  std::unordered_map<uint64_t, std::shared_ptr<IncomingCall>> swallowed;
  {
    MutexLock lock(state_->mutex);
    if (state_->stopped) return;
    state_->stopped = true;
    swallowed.swap(state_->swallowed);
  }
  state_->gate.close();
  state_->inner.stop();
  state_->calls->stop();
}

}  // namespace agora::peers
