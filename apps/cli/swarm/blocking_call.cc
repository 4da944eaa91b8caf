#include "apps/cli/swarm/blocking_call.h"

#include <deque>
#include <optional>

#include "agora/base/clock.h"
#include "agora/base/loop.h"
#include "agora/base/mutex.h"

namespace agora::cli {
namespace {

constexpr int64_t kLookNs = 50 * base::kMillisecondNs;  // how often a waiting command looks for Ctrl-C

// What the transport's threads leave for the one that waits.
class Mailbox {
 public:
  explicit Mailbox(size_t calls) : replies_(calls), open_(calls) {}

  peers::CallEvents events(size_t call) {
    return {[this, call](peers::Reply reply) {
              base::MutexLock lock(mutex_);
              replies_[call] = std::move(reply);
              --open_;
              changed_.wake_all();  // under the lock: the mailbox goes as soon as the last reply is seen
            },
            [this](peers::Payload part) {
              base::MutexLock lock(mutex_);
              parts_.push_back(std::move(part));
              changed_.wake_all();
            }};
  }

  // Waits for something new, at most until_ns. False: everything has come and was taken.
  bool wait(int64_t until_ns, std::deque<peers::Payload>* parts) {
    base::MutexLock lock(mutex_);
    if (parts_.empty() && open_ > 0) changed_.wait_until(mutex_, until_ns);
    parts->swap(parts_);
    return open_ > 0 || !parts->empty();
  }

  std::vector<peers::Reply> take() {
    base::MutexLock lock(mutex_);
    return std::move(replies_);
  }

 private:
  base::Mutex mutex_;
  base::Condition changed_;
  std::vector<peers::Reply> replies_ ABSL_GUARDED_BY(mutex_);
  std::deque<peers::Payload> parts_ ABSL_GUARDED_BY(mutex_);  // the transport limits a peer's bytes
  size_t open_ ABSL_GUARDED_BY(mutex_);
};

void wait_for_all(Mailbox& mailbox, const CallWatch& watch, const std::function<void()>& cancel) {
  bool cancelled = false;
  std::deque<peers::Payload> parts;
  while (mailbox.wait(RealClock().now_ns() + kLookNs, &parts)) {
    for (peers::Payload& part : parts) {
      if (watch.part) watch.part(std::move(part));
    }
    parts.clear();
    if (watch.interrupt != nullptr && watch.interrupt->load() && !cancelled) {
      cancel();
      cancelled = true;
    }
  }
}

}  // namespace

int64_t deadline_in(double seconds) {
  return RealClock().now_ns() + static_cast<int64_t>(seconds * static_cast<double>(base::kSecondNs));
}

peers::Reply call_and_wait(peers::Transport& transport, const peers::CallSettings& settings,
                           peers::Payload payload, const CallWatch& watch) {
  Mailbox mailbox(1);
  const peers::CallId call = transport.call(settings, std::move(payload), mailbox.events(0));
  wait_for_all(mailbox, watch, [&] { transport.cancel(call); });
  return mailbox.take()[0];
}

std::vector<peers::Reply> call_all(peers::Transport& transport,
                                   const std::vector<peers::CallSettings>& settings,
                                   const peers::Payload& payload) {
  Mailbox mailbox(settings.size());
  for (size_t i = 0; i < settings.size(); ++i) transport.call(settings[i], payload, mailbox.events(i));
  wait_for_all(mailbox, {}, [] {});
  return mailbox.take();
}

}  // namespace agora::cli
