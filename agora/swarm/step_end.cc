#include "agora/swarm/step_end.h"

#include <algorithm>
#include <memory>

#include "agora/base/mutex.h"
#include "agora/base/until_stopped.h"
#include "agora/swarm/wire/method.h"

namespace agora::swarm {
namespace {

constexpr int64_t kUnawaitedNs = 5'000'000'000;
constexpr int64_t kPauseNs = 20'000'000;  // before hosts are asked again; doubled each time ...
constexpr int64_t kPauseNsMax = 500'000'000;

// The answers of one round; outlives the one who waits.
struct Round {
  explicit Round(base::Loop& loop) : changed(loop.wait_point()) {}

  base::Mutex mutex;
  const std::unique_ptr<base::WaitPoint> changed;
  size_t missing ABSL_GUARDED_BY(mutex) = 0;
  Status refused ABSL_GUARDED_BY(mutex);
  std::map<peers::PeerId, peers::Endpoint> unreached ABSL_GUARDED_BY(mutex);
  std::map<peers::PeerId, peers::Endpoint> busy ABSL_GUARDED_BY(mutex);

  void take(const peers::PeerId& host, const peers::Endpoint& at, const peers::Reply& reply) {
    base::MutexLock lock(mutex);
    const Status& status = reply.status;
    if (reply.from_peer && absl::IsInvalidArgument(status)) {
      refused = status;
    } else if (reply.from_peer && (absl::IsResourceExhausted(status) || absl::IsDeadlineExceeded(status))) {
      busy.emplace(host, at);
    } else if (!status.ok()) {
      unreached.emplace(host, at);
    }
    --missing;
    changed->wake_all();
  }
};

std::shared_ptr<Round> ask(const Hosts& hosts, const std::map<peers::PeerId, peers::Endpoint>& whom,
                           const peers::Payload& message, int64_t deadline_ns) {
  auto round = std::make_shared<Round>(hosts.loop);
  {
    base::MutexLock lock(round->mutex);
    round->missing = whom.size();
  }
  for (const auto& [host, at] : whom) {
    hosts.transport.call(
        {.to = host, .at = at, .method = kEndStep, .deadline_ns = deadline_ns}, message,
        [round, host = host, at = at](const peers::Reply& reply) { round->take(host, at, reply); });
  }
  return round;
}

}  // namespace

Status end_step_at(const Hosts& hosts, const std::map<peers::PeerId, peers::Endpoint>& touched,
                   const EndStep& step, int64_t timeout_ns, base::Baton* baton) {
  const peers::Payload message = encode_end_step(step);
  const int64_t now_ns = hosts.loop.now_ns();
  if (timeout_ns == 0) {
    ask(hosts, touched, message, now_ns + kUnawaitedNs);
    return absl::OkStatus();
  }
  std::map<peers::PeerId, peers::Endpoint> whom = touched;
  Status refused;
  const int64_t end_ns = now_ns + timeout_ns;
  int64_t pause_ns = kPauseNs;
  for (bool first = true; !whom.empty(); first = false) {
    const auto round = ask(hosts, whom, message, first ? now_ns + timeout_ns / 2 : end_ns);
    const base::BatonRest rest(baton);
    {
      base::MutexLock lock(round->mutex);
      while (round->missing > 0) round->changed->wait(round->mutex);
      if (!round->refused.ok()) refused = round->refused;
      whom = round->busy;
      if (first) whom.merge(round->unreached);
    }
    if (whom.empty() || hosts.loop.now_ns() + pause_ns >= end_ns) break;
    base::UntilStopped(hosts.loop).rest(pause_ns);
    pause_ns = std::min(2 * pause_ns, kPauseNsMax);
  }
  return refused;
}

}  // namespace agora::swarm
