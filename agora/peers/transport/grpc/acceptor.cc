#include "agora/peers/transport/grpc/acceptor.h"

#include <netdb.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "agora/base/bytes.h"
#include "agora/base/run_on.h"
#include "agora/base/text.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace agora::peers {
namespace {

constexpr int kBacklog = 1024;
constexpr int64_t kTickNs = 250 * base::kMillisecondNs;
// RFC 8446, 5.1: type 22, version 3.x, length; a hello is far below a record's 16 KiB.
constexpr size_t kRecordHeaderBytes = 5, kHelloRecordBytesMax = 16384;

Status port_error(const Endpoint& listen, const char* what) {
  return absl::UnavailableError(
      base::concat("can not listen at ", listen.text(), ": ", what, "; choose another port or address"));
}

StatusOr<int> bound_socket(const Endpoint& listen) {
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(listen.host.c_str(), std::to_string(listen.port).c_str(), &hints, &found);
  if (error != 0) return port_error(listen, ::gai_strerror(error));
  const int fd = ::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  const bool ok = fd >= 0 && ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                  ::bind(fd, found->ai_addr, found->ai_addrlen) == 0 && ::listen(fd, kBacklog) == 0;
  const int failed = errno;
  ::freeaddrinfo(found);
  if (ok) return fd;
  if (fd >= 0) ::close(fd);
  return port_error(listen, std::strerror(failed));
}

using NameOf = int(int fd, sockaddr* address, socklen_t* size);

// One end of a socket; empty: it has none any more. An IPv4 address in IPv6's clothes is one of IPv4.
Endpoint end_of(int fd, NameOf& name_of) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (name_of(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    ::inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
    return {text.data(), ntohs(v4.sin_port)};
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
    ::inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], text.data(), text.size());
  } else {
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
  }
  return {text.data(), ntohs(v6.sin6_port)};
}

Endpoint near_end(int fd) { return end_of(fd, ::getsockname); }
Endpoint far_end(int fd) { return end_of(fd, ::getpeername); }

}  // namespace

Endpoint endpoint_of_uri(std::string_view uri) {
  std::string text(uri.substr(std::min(uri.size(), uri.find(':') + 1)));
  for (const auto& [code, sign] : {std::pair("%5B", "["), {"%5D", "]"}, {"%25", "%"}}) {
    const size_t at = text.find(code);
    if (at != std::string::npos) text.replace(at, 3, sign);
  }
  StatusOr<Endpoint> endpoint = parse_endpoint(text);
  if (!endpoint.ok()) return {};
  endpoint->host.resize(std::min(endpoint->host.size(), endpoint->host.find('%')));  // the zone
  return *std::move(endpoint);
}

StatusOr<std::unique_ptr<Acceptor>> Acceptor::open(const Endpoint& listen, const TransportLimits& limits,
                                                   EpollLoop& loop, Meters& meters, PassOn pass_on) {
  AGORA_ASSIGN_OR_RETURN(const int fd, bound_socket(listen));
  Endpoint at = near_end(fd);
  if (is_address(listen.host)) at.host = listen.host;  // with its zone
  return std::unique_ptr<Acceptor>(new Acceptor(fd, std::move(at), limits, loop, meters, std::move(pass_on)));
}

Acceptor::Acceptor(int fd, Endpoint endpoint, const TransportLimits& limits, EpollLoop& loop, Meters& meters,
                   PassOn pass_on)
    : listener_(fd),
      endpoint_(std::move(endpoint)),
      limits_(limits),
      loop_(loop),
      meters_(meters),
      pass_on_(std::move(pass_on)),
      passed_(limits, loop, meters) {}

void Acceptor::listen() {
  loop_.post([this] {
    loop_.watch(listener_, [this] { accept_all(); });
    accept_all();  // what came before
    tick();
  });
}

Acceptor::~Acceptor() { ::close(listener_); }

void Acceptor::stop() {
  base::run_on(loop_, [this] {
    if (!stopped_) loop_.unwatch(listener_);
    stopped_ = true;
    while (!waiting_.empty()) drop(waiting_.begin()->second);
    passed_.clear();
  });
}

void Acceptor::accept_all() {
  while (!stopped_ && accept_one()) {
  }
}

bool Acceptor::accept_one() {
  const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) {
    admit(fd);
    return true;
  }
  if (errno == ECONNABORTED || errno == EINTR) return true;
  if ((errno == EMFILE || errno == ENFILE) && !waiting_.empty()) {
    drop_oldest();
    return true;
  }
  return false;  // nobody, or no files left: the next tick tries again
}

void Acceptor::admit(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (static_cast<int>(waiting_.size()) >= limits_.connections_waiting_max) drop_oldest();
  const uint64_t number = ++last_;
  waiting_.emplace(number, fd);
  by_file_.emplace(fd, Waiting{.number = number, .until_ns = loop_.now_ns() + limits_.proof_ns_max});
  if (!loop_.watch(fd, [this, fd] { look(fd); })) return drop(fd);
  look(fd);  // it may have come before the watch
}

void Acceptor::drop(int fd) {
  const auto found = by_file_.find(fd);
  if (found == by_file_.end()) return;
  waiting_.erase(found->second.number);
  by_file_.erase(found);
  loop_.unwatch(fd);
  ::close(fd);
}

void Acceptor::drop_oldest() {
  ++meters_.connections_refused;
  drop(waiting_.begin()->second);
}

// Peeks, so that TLS finds everything where it was.
void Acceptor::look(int fd) {
  const auto found = by_file_.find(fd);
  if (found == by_file_.end()) return;
  std::array<std::byte, kRecordHeaderBytes + kHelloRecordBytesMax> bytes;
  const ssize_t n = ::recv(fd, bytes.data(), bytes.size(), MSG_PEEK);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
  if (n <= 0) return drop(fd);  // gone
  const auto have = static_cast<size_t>(n);
  const bool tls = bytes[0] == std::byte{22} && (have < 2 || bytes[1] == std::byte{3});
  const size_t length = have < kRecordHeaderBytes ? 1 : base::load_be<uint16_t>(&bytes[3]);
  if (!tls || length == 0 || length > kHelloRecordBytesMax) {
    ++meters_.connections_refused;
    return drop(fd);
  }
  if (have < kRecordHeaderBytes || have < kRecordHeaderBytes + length) return;
  const Endpoint from = far_end(fd);
  if (from.empty() || !passed_.add(from, fd)) {
    ++meters_.connections_refused;
    return drop(fd);
  }
  loop_.unwatch(fd);
  waiting_.erase(found->second.number);
  by_file_.erase(found);
  pass_on_(fd);
}

void Acceptor::tick() {
  if (stopped_) return;
  const int64_t now_ns = loop_.now_ns();
  while (!waiting_.empty() && by_file_.at(waiting_.begin()->second).until_ns <= now_ns) drop_oldest();
  passed_.forget_ended();
  accept_all();
  loop_.after(kTickNs, [this] { tick(); });
}

}  // namespace agora::peers
