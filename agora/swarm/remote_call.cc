#include "agora/swarm/remote_call.h"

#include <algorithm>
#include <utility>

#include "agora/base/mutex.h"

namespace agora::swarm {

class RemoteCall::Inbox {
 public:
  explicit Inbox(base::Loop& loop) : came_(loop.wait_point()) {}

  using Letter = std::pair<uint32_t, peers::Reply>;  // which send it answers

  void put(uint32_t send, peers::Reply reply) {
    base::MutexLock lock(mutex_);
    letters_.emplace_back(send, std::move(reply));
    came_->wake_all();
  }
  // What has come; waits for the first until the time. Empty: it is over.
  std::vector<Letter> wait_until(int64_t when_ns, const Clock& clock) {
    base::MutexLock lock(mutex_);
    while (letters_.empty() && clock.now_ns() < when_ns) came_->wait_until(mutex_, when_ns);
    return std::exchange(letters_, {});
  }

 private:
  base::Mutex mutex_;
  const std::unique_ptr<base::WaitPoint> came_;
  std::vector<Letter> letters_ ABSL_GUARDED_BY(mutex_);
};

RemoteCall::RemoteCall(const Hosts& hosts, const RemoteCallSettings& settings, Exchange& exchange)
    : hosts_(hosts), settings_(settings), exchange_(exchange), inbox_(std::make_shared<Inbox>(hosts.loop)) {}

RemoteCall::~RemoteCall() = default;

Status RemoteCall::run(MixCall& call, const MixActions& first) {
  apply(call, first);
  while (!call.done()) {
    std::vector<Inbox::Letter> letters;
    {
      base::BatonRest rest(settings_.baton);
      letters = inbox_->wait_until(call.timer_ns(), hosts_.loop);
    }
    if (letters.empty()) apply(call, call.on_timer(hosts_.loop.now_ns()));
    for (const auto& [number, reply] : letters) apply(call, handle(call, number, reply));
  }
  judge_refusals(call);
  return refused_;
}

void RemoteCall::judge_refusals(const MixCall& call) const {
  const std::vector<uint32_t> taken = call.summands();
  for (const Refusal& refusal : refusals_) {
    const MixSend& refused = call.send(refusal.send);
    if (std::ranges::any_of(taken, [&](uint32_t s) { return call.send(s).origin == refused.origin; })) {
      hosts_.finder.on_failure(refused.to);
    } else {
      hosts_.finder.on_reply(refused.to, refusal.latency_ns, refusal.load_us);
    }
  }
}

void RemoteCall::apply(const MixCall& call, const MixActions& actions) {
  for (const uint32_t number : actions.cancels) {
    if (!std::exchange(sent_[number].open, false)) continue;
    hosts_.transport.cancel(sent_[number].id);
    hosts_.finder.on_given_up(call.send(number).to);
  }
  for (const MixSend& plan : actions.sends) send(plan, false);
}

void RemoteCall::send(const MixSend& plan, bool again) {
  if (plan.send >= sent_.size()) sent_.resize(plan.send + 1);
  peers::Payload message = exchange_.message(plan, again);
  counts_.bytes_sent += static_cast<int64_t>(message.size());
  hosts_.finder.on_call(plan.to);
  Sent& sent = sent_[plan.send];
  sent.at_ns = hosts_.loop.now_ns();
  sent.again = again;
  sent.open = true;
  sent.id = hosts_.transport.call(
      {.to = plan.to,
       .at = plan.at,
       .method = settings_.method,
       .priority = settings_.priority,
       .deadline_ns = plan.deadline_ns,
       .trace = settings_.trace},
      std::move(message),
      [inbox = inbox_, number = plan.send](peers::Reply reply) { inbox->put(number, std::move(reply)); });
}

MixActions RemoteCall::handle(MixCall& call, uint32_t number, const peers::Reply& reply) {
  Sent& sent = sent_[number];
  if (!std::exchange(sent.open, false)) return {};
  const int64_t now_ns = hosts_.loop.now_ns();
  const MixSend& plan = call.send(number);
  counts_.bytes_received += static_cast<int64_t>(reply.payload.size());

  Status status = reply.status;
  StatusOr<std::vector<uint8_t>> arrived;
  if (status.ok()) {
    arrived = exchange_.take(plan, reply);
    status = arrived.status();
  }
  const bool busy = reply.from_peer && (absl::IsResourceExhausted(status) || absl::IsUnavailable(status));
  const bool lost_ticket = reply.from_peer && absl::IsNotFound(status) && !sent.again;
  const bool late = !reply.from_peer && absl::IsDeadlineExceeded(status);
  const bool refused = !reply.status.ok() && absl::IsInvalidArgument(status);
  if (refused) {
    refused_ = status;
    refusals_.push_back({number, now_ns - sent.at_ns, reply.load_us});
  } else if (status.ok() || busy || lost_ticket) {
    hosts_.finder.on_reply(plan.to, now_ns - sent.at_ns, reply.load_us);
  } else if (late) {
    hosts_.finder.on_late(plan.to, now_ns - sent.at_ns);
  } else {
    hosts_.finder.on_failure(plan.to);
  }
  if (status.ok()) {
    counts_.latency_ns.push_back(now_ns - sent.at_ns);
    return call.on_reply(number, *arrived, now_ns);
  }
  if (lost_ticket) {
    ++counts_.tickets_resent;
    call.begin_again(number, now_ns);
    send(plan, true);
    return {};
  }
  const Failure failure = busy ? Failure::busy : reply.from_peer || late ? Failure::gone : Failure::broken;
  return call.on_failure(number, failure, now_ns);
}

}  // namespace agora::swarm
