#include "apps/cli/swarm/peer_process.h"

#include <unistd.h>

#include <iostream>

#include "absl/strings/str_cat.h"
#include "agora/base/clock.h"
#include "agora/base/mutex.h"

#include "apps/cli/json_line.h"
#include "apps/cli/swarm/own_address.h"
#include "apps/cli/terminal_text.h"

namespace agora::cli {
namespace {

constexpr int64_t kLookNs = 20 * base::kMillisecondNs;  // a signal handler can wake nobody: it is looked for

}  // namespace

std::string page_url(const Node& node) {
  peers::Endpoint at = node.http();
  if (at.empty()) return "";
  if (is_wildcard(at.host)) at.host = "127.0.0.1";
  return absl::StrCat("http://", at.text(), "/");
}

void say_event(const nlohmann::ordered_json& event, bool json) {
  if (json) std::cout << json_line(event) << std::endl;
}

void say_up(const Node& node, const std::string& role, bool json) {
  const std::string http = node.http().empty() ? "" : node.http().text();
  if (json) {
    return say_event({{"event", "up"},
                      {"role", role},
                      {"peer", node.identity().id().text()},
                      {"at", node.endpoint().text()},
                      {"http", http},
                      {"pid", getpid()},
                      {"swarm", node.spec().name}},
                     json);
  }
  std::cout << "A " << role << " of the swarm " << visible_text(node.spec().name) << ", peer "
            << node.identity().id().brief() << ", at " << node.endpoint().text() << "\n";
  if (!http.empty()) std::cout << "Look: " << page_url(node) << "\n";
  std::cout << "Others join by --join " << node.endpoint().text() << ". Ctrl-C leaves." << std::endl;
}

void wait_for_interrupt(const Interrupt& interrupt) {
  base::Mutex mutex;
  base::Condition never;
  base::MutexLock lock(mutex);
  while (!interrupt.load()) never.wait_until(mutex, RealClock().now_ns() + kLookNs);
}

}  // namespace agora::cli
