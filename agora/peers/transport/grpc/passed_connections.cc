#include "agora/peers/transport/grpc/passed_connections.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace agora::peers {
namespace {

// TLS, then an idle connection, then a stream without proof: each has the limit's time.
constexpr int kUnprovenStages = 3;
// A peer sends its proof, and calls, when it has our hello, which it gets when we know of its stream. Until
// then: TLS, whose hello fits into a record of 16 KiB, the stream's head of at most 4 KiB and its hello.
constexpr uint64_t kBeforeStreamBytesMax = 64 << 10;

// An IPv4 address; the first half of one of IPv6, which is what a household or a server gets.
std::string network_of(const std::string& host) {
  in6_addr v6{};
  if (::inet_pton(AF_INET6, host.c_str(), &v6) != 1) return host;
  return {reinterpret_cast<const char*>(v6.s6_addr), sizeof v6.s6_addr / 2};
}

uint64_t bytes_received(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  return ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? info.tcpi_bytes_received : 0;
}

}  // namespace

using base::MutexLock;

int PassedConnections::unproven() const {
  return static_cast<int>(std::ranges::count_if(passed_, [](const auto& p) { return p.second.unproven(); }));
}

bool PassedConnections::add(const Endpoint& from, int fd) {
  MutexLock lock(mutex_);
  if (unproven() >= limits_.connections_unproven_max) forget_ended_locked();
  if (unproven() >= limits_.connections_unproven_max) make_room();
  const int file = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (file < 0) return false;
  const Passed passed{.file = file,
                      .until_ns = clock_.now_ns() + kUnprovenStages * limits_.proof_ns_max,
                      .number = ++last_,
                      .network = network_of(from.host)};
  const auto [at, fresh] = passed_.try_emplace(from, passed);
  if (!fresh) ::close(std::exchange(at->second, passed).file);  // it has ended, and its port is used again
  return true;
}

void PassedConnections::make_room() {
  std::map<std::string_view, int> count;
  for (const auto& [from, passed] : passed_) {
    if (passed.unproven()) ++count[passed.network];
  }
  const auto goes_before = [&](const Passed& a, const Passed& b) {
    return std::pair(-count[a.network], a.number) < std::pair(-count[b.network], b.number);
  };
  auto first = passed_.end();
  for (auto at = passed_.begin(); at != passed_.end(); ++at) {
    if (!at->second.unproven()) continue;
    if (first == passed_.end() || goes_before(at->second, first->second)) first = at;
  }
  ++meters_.connections_refused;
  cut_off(first);
}

void PassedConnections::streams(const Endpoint& from, const PeerId& peer) {
  MutexLock lock(mutex_);
  const auto found = passed_.find(from);
  if (found != passed_.end()) found->second.peer = peer;
}

void PassedConnections::second_stream(const PeerId& peer) {
  MutexLock lock(mutex_);
  for (auto at = passed_.begin(); at != passed_.end();) {
    const auto next = std::next(at);
    const Passed& passed = at->second;
    if (passed.peer.empty() ? bytes_received(passed.file) > kBeforeStreamBytesMax : passed.peer == peer) {
      ++meters_.connections_refused;
      cut_off(at);
    }
    at = next;
  }
}

void PassedConnections::proven(const Endpoint& from) {
  MutexLock lock(mutex_);
  const auto found = passed_.find(from);
  if (found != passed_.end()) found->second.until_ns = INT64_MAX;
}

void PassedConnections::left(const Endpoint& from) {
  MutexLock lock(mutex_);
  const auto found = passed_.find(from);
  if (found == passed_.end()) return;
  const int64_t until_ns = clock_.now_ns() + limits_.proof_ns_max;  // it may read why
  found->second.until_ns = std::min(found->second.until_ns, until_ns);
}

void PassedConnections::cut_off(ByOrigin::iterator at) {
  ::shutdown(at->second.file, SHUT_RDWR);
  ::close(at->second.file);
  passed_.erase(at);
}

void PassedConnections::forget_ended() {
  MutexLock lock(mutex_);
  forget_ended_locked();
}

void PassedConnections::forget_ended_locked() {
  const int64_t now_ns = clock_.now_ns();
  for (auto at = passed_.begin(); at != passed_.end();) {
    const auto next = std::next(at);
    pollfd ended{.fd = at->second.file, .events = 0, .revents = 0};
    ::poll(&ended, 1, 0);
    if (at->second.until_ns <= now_ns || (ended.revents & POLLHUP) != 0) cut_off(at);
    at = next;
  }
}

void PassedConnections::clear() {
  MutexLock lock(mutex_);
  for (const auto& [from, passed] : passed_) ::close(passed.file);
  passed_.clear();
}

}  // namespace agora::peers
