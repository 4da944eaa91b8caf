#include "agora/swarm/step_end.h"

#include <memory>

#include "agora/base/mutex.h"
#include "agora/swarm/wire/method.h"

namespace agora::swarm {
namespace {

constexpr int64_t kUnawaitedNs = 5'000'000'000;

// The answers of one round; outlives the one who waits.
struct Round {
  explicit Round(base::Loop& loop) : changed(loop.wait_point()) {}

  base::Mutex mutex;
  const std::unique_ptr<base::WaitPoint> changed;
  size_t missing ABSL_GUARDED_BY(mutex) = 0;
  Status refused ABSL_GUARDED_BY(mutex);
  std::map<peers::PeerId, peers::Endpoint> unreached ABSL_GUARDED_BY(mutex);

  void take(const peers::PeerId& host, const peers::Endpoint& at, const peers::Reply& reply) {
    base::MutexLock lock(mutex);
    if (!reply.from_peer || absl::IsUnavailable(reply.status)) {
      unreached.emplace(host, at);
    } else if (!reply.status.ok()) {
      refused = reply.status;
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
  for (int attempt = 1; attempt <= 2 && !whom.empty(); ++attempt) {
    const std::shared_ptr<Round> round = ask(hosts, whom, message, now_ns + attempt * timeout_ns / 2);
    base::BatonRest rest(baton);
    base::MutexLock lock(round->mutex);
    while (round->missing > 0) round->changed->wait(round->mutex);
    if (!round->refused.ok()) refused = round->refused;
    whom = round->unreached;
  }
  return refused;
}

}  // namespace agora::swarm
