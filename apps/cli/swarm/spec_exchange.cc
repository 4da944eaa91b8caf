#include "apps/cli/swarm/spec_exchange.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "agora/base/loop.h"
#include "agora/base/mutex.h"
#include "agora/base/text.h"
#include "agora/swarm/wire/blob.h"
#include "agora/swarm/wire/method.h"

#include "apps/cli/swarm/blocking_call.h"

namespace agora::cli {
namespace {

constexpr char kKey[] = "spec";
constexpr int64_t kLookAgainNs = 200 * base::kMillisecondNs;
constexpr int64_t kLookNs = 20 * base::kMillisecondNs;  // for Ctrl-C, which can wake nobody

// What a fetch needs and leaves for the one who waits; shared with the transport's thread that ends it.
struct Fetched {
  const RealClock clock{};
  base::Mutex mutex;
  base::Condition changed;
  std::optional<StatusOr<peers::Payload>> bytes ABSL_GUARDED_BY(mutex);
};

StatusOr<swarm::SwarmSpec> fetch_from(peers::Transport& transport, const peers::Endpoint& at, double seconds,
                                      const Interrupt& interrupt) {
  const auto fetched = std::make_shared<Fetched>();
  const peers::CallSettings settings{.to = {},
                                     .at = at,
                                     .method = swarm::kGetSpec,
                                     .priority = peers::Priority::interactive,
                                     .deadline_ns = deadline_in(seconds),
                                     .trace = 0};
  swarm::fetch_blob(transport, fetched->clock, settings, kKey, swarm::kSpecBytesMax,
                    [fetched](StatusOr<peers::Payload> bytes) {
                      base::MutexLock lock(fetched->mutex);
                      fetched->bytes = std::move(bytes);
                      fetched->changed.wake_all();
                    });
  base::MutexLock lock(fetched->mutex);
  while (!fetched->bytes) {
    if (interrupt.load()) return absl::CancelledError("interrupted");
    fetched->changed.wait_until(fetched->mutex, fetched->clock.now_ns() + kLookNs);
  }
  if (!fetched->bytes->ok()) return fetched->bytes->status();
  return swarm::read_spec((*fetched->bytes)->bytes());
}

void rest(int64_t nanoseconds) {
  base::Mutex mutex;
  base::Condition never;
  base::MutexLock lock(mutex);
  never.wait_until(mutex, RealClock().now_ns() + nanoseconds);
}

// Who is not there may come; a peer that refuses us will go on refusing.
bool may_come(const Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
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
  if (from.empty()) {
    return absl::InvalidArgumentError(
        "expected --spec FILE (agora spec make writes one) or --join HOST:PORT of a living peer");
  }
  Status first;  // what went wrong at first says most
  for (;;) {
    for (const peers::Endpoint& at : from) {
      StatusOr<swarm::SwarmSpec> spec =
          fetch_from(transport, at, seconds / static_cast<double>(from.size()), interrupt);
      if (spec.ok()) return spec;
      if (interrupt.load()) return absl::CancelledError("interrupted while looking for the swarm");
      const Status told = base::about(absl::StrCat("--join ", at.text()), spec.status());
      if (!may_come(told)) return told;
      if (first.ok()) first = told;
    }
    if (RealClock().now_ns() + kLookAgainNs > until_ns) break;
    rest(kLookAgainNs);
  }
  return absl::NotFoundError(absl::StrCat(std::string(first.message()),
                                          "; expected a living peer there within ", seconds,
                                          " s (--join-seconds): is it running, is the address right?"));
}

}  // namespace agora::cli
