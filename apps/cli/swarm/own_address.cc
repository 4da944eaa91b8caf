#include "apps/cli/swarm/own_address.h"

#include <ifaddrs.h>
#include <netdb.h>
#include <unistd.h>

#include <memory>

#include "agora/base/text.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <sys/socket.h>

namespace agora::cli {
namespace {

constexpr char kLoopback[] = "127.0.0.1";

std::string text_of(const sockaddr* address) {
  char host[NI_MAXHOST];
  const socklen_t length = address->sa_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  return getnameinfo(address, length, host, sizeof host, nullptr, 0, NI_NUMERICHOST) == 0 ? host : "";
}

// Connecting a datagram socket sends nothing: the system only picks the way.
std::string address_towards(const peers::Endpoint& peer) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(peer.host.c_str(), std::to_string(peer.port).c_str(), &hints, &found) != 0) return "";
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> list(found, &freeaddrinfo);
  const int socket = ::socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return "";
  sockaddr_storage own{};
  socklen_t length = sizeof own;
  const bool known = connect(socket, found->ai_addr, found->ai_addrlen) == 0 &&
                     getsockname(socket, reinterpret_cast<sockaddr*>(&own), &length) == 0;
  close(socket);
  return known ? text_of(reinterpret_cast<const sockaddr*>(&own)) : "";
}

std::string first_address() {
  ifaddrs* found = nullptr;
  if (getifaddrs(&found) != 0) return "";
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> list(found, &freeifaddrs);
  for (const ifaddrs* at = found; at != nullptr; at = at->ifa_next) {
    const bool usable = (at->ifa_flags & IFF_UP) != 0 && (at->ifa_flags & IFF_LOOPBACK) == 0;
    if (usable && at->ifa_addr != nullptr && at->ifa_addr->sa_family == AF_INET) return text_of(at->ifa_addr);
  }
  return "";
}

}  // namespace

StatusOr<peers::Endpoint> parse_listen(const char* flag, const std::string& text) {
  const bool any_port = text.ends_with(":0");
  StatusOr<peers::Endpoint> at =
      peers::parse_endpoint(any_port ? text.substr(0, text.size() - 1) + "1" : text);
  if (!at.ok()) {
    return absl::InvalidArgumentError(base::concat(flag, ": ", std::string(at.status().message())));
  }
  if (any_port) at->port = 0;
  return at;
}

StatusOr<peers::Endpoint> parse_advertised(const std::string& text) {
  StatusOr<peers::Endpoint> at = peers::parse_endpoint(text);
  if (!at.ok()) return base::about("--advertise", at.status());
  if (!peers::is_address(at->host)) {
    return absl::InvalidArgumentError(
        base::concat("--advertise: expected an address, as 203.0.113.7:", at->port, ", not the name ",
                     base::in_quotes(at->host), "; give the address that it stands for"));
  }
  return at;
}

bool is_wildcard(const std::string& host) { return host == "0.0.0.0" || host == "::"; }

std::string own_address(const peers::Endpoint& towards) {
  const std::string address = towards.empty() ? first_address() : address_towards(towards);
  return address.empty() || is_wildcard(address) ? kLoopback : address;
}

}  // namespace agora::cli
