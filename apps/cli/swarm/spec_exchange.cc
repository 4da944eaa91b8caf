#include "apps/cli/swarm/spec_exchange.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "agora/base/loop.h"
#include "agora/base/mutex.h"
#include "agora/swarm/wire/blob.h"
#include "agora/swarm/wire/method.h"

#include "apps/cli/swarm/blocking_call.h"

namespace agora::cli {
namespace {

constexpr char kKey[] = "spec";
constexpr int64_t kLookAgainNs = 200 * base::kMillisecondNs;

// What a fetch leaves for the one who waits; shared with the transport's thread that ends it.
struct Fetched {
  base::Mutex mutex;
  base::Condition changed;
  std::optional<StatusOr<peers::Payload>> bytes ABSL_GUARDED_BY(mutex);
};

StatusOr<swarm::SwarmSpec> fetch_from(peers::Transport& transport, const peers::Endpoint& at,
                                      double seconds) {
  const auto fetched = std::make_shared<Fetched>();
  const peers::CallSettings settings{.to = {},
                                     .at = at,
                                     .method = swarm::kGetSpec,
                                     .priority = peers::Priority::interactive,
                                     .deadline_ns = deadline_in(seconds),
                                     .trace = 0};
  swarm::fetch_blob(transport, settings, kKey, swarm::kSpecBytesMax,
                    [fetched](StatusOr<peers::Payload> bytes) {
                      base::MutexLock lock(fetched->mutex);
                      fetched->bytes = std::move(bytes);
                      fetched->changed.wake_all();
                    });
  base::MutexLock lock(fetched->mutex);
  while (!fetched->bytes) fetched->changed.wait(fetched->mutex);
  if (!fetched->bytes->ok()) return fetched->bytes->status();
  return swarm::read_spec((*fetched->bytes)->bytes());
}

void rest(int64_t nanoseconds) {
  base::Mutex mutex;
  base::Condition never;
  base::MutexLock lock(mutex);
  never.wait_until(mutex, RealClock().now_ns() + nanoseconds);
}

}  // namespace

void serve_spec(peers::Transport& transport, const swarm::SwarmSpec& spec) {
  const std::string bytes = spec.bytes();
  transport.serve(swarm::kGetSpec, [blob = swarm::blob_of(peers::Payload::copy(base::as_bytes(bytes)))](
                                       const std::shared_ptr<peers::IncomingCall>& call) {
    swarm::serve_blob(*call, [&](std::string_view) { return blob; });
  });
}

StatusOr<swarm::SwarmSpec> fetch_spec(peers::Transport& transport, const std::vector<peers::Endpoint>& from,
                                      double seconds, const Interrupt& interrupt) {
  const int64_t until_ns = deadline_in(seconds);
  Status last = absl::InvalidArgumentError(
      "expected --spec FILE (agora spec make writes one) or --join HOST:PORT of a living peer");
  while (!from.empty() && !interrupt.load()) {
    for (const peers::Endpoint& at : from) {
      StatusOr<swarm::SwarmSpec> spec = fetch_from(transport, at, seconds);
      if (spec.ok()) return spec;
      last = Status(spec.status().code(),
                    absl::StrCat("--join ", at.text(), ": ", std::string(spec.status().message())));
    }
    // A peer that refuses us will go on refusing; one that is not there may come.
    if (!absl::IsUnavailable(last) && !absl::IsDeadlineExceeded(last)) break;
    if (RealClock().now_ns() + kLookAgainNs > until_ns) break;
    rest(kLookAgainNs);
  }
  return interrupt.load() ? absl::CancelledError("interrupted while looking for the swarm") : last;
}

}  // namespace agora::cli
