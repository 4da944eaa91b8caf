#include "apps/cli/swarm/blocking_call.h"

#include "agora/base/clock.h"
#include "agora/base/loop.h"
#include "agora/peers/transport/mailbox.h"

namespace agora::cli {
namespace {

constexpr int64_t kLookNs = 50 * base::kMillisecondNs;  // how often a waiting command looks for Ctrl-C

void wait_for_all(peers::Mailbox& mailbox, const CallWatch& watch, const std::function<void()>& cancel) {
  bool cancelled = false;
  std::deque<peers::Payload> parts;
  while (mailbox.wait(RealClock().now_ns() + kLookNs, &parts)) {
    for (peers::Payload& part : parts) {
      if (watch.part) watch.part(std::move(part));
    }
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
  const auto mailbox = std::make_shared<peers::Mailbox>(1);
  const peers::CallId call = transport.call(settings, std::move(payload), peers::Mailbox::events(mailbox, 0));
  wait_for_all(*mailbox, watch, [&] { transport.cancel(call); });
  return mailbox->take()[0];
}

std::vector<peers::Reply> call_all(peers::Transport& transport,
                                   const std::vector<peers::CallSettings>& settings,
                                   const peers::Payload& payload) {
  const auto mailbox = std::make_shared<peers::Mailbox>(settings.size());
  for (size_t i = 0; i < settings.size(); ++i) {
    transport.call(settings[i], payload, peers::Mailbox::events(mailbox, i));
  }
  wait_for_all(*mailbox, {}, [] {});
  return mailbox->take();
}

}  // namespace agora::cli
