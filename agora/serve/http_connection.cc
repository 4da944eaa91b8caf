#include "agora/serve/http_connection.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <sys/socket.h>

namespace agora::serve {
namespace {

constexpr int64_t kGoodbyeNs = base::kSecondNs;
constexpr size_t kGoodbyeBytesMax = 16 << 20;

int64_t now_ns() { return RealClock().now_ns(); }

}  // namespace

HttpConnection::HttpConnection(socket_t socket, int kept_s, int silence_s)
    : socket_(socket), silence_ns_(silence_s * base::kSecondNs), until_ns_(now_ns() + kRequestNs) {
  has_begun_ = wait_for(POLLIN, kept_s * base::kSecondNs);
}

HttpConnection::~HttpConnection() { ::close(socket_); }

bool HttpConnection::wait_for(short event, int64_t at_most_ns) const {
  const int64_t until_ns = now_ns() + at_most_ns;
  pollfd polled{.fd = socket_, .events = event, .revents = 0};
  while (true) {
    const int64_t left_ns = std::max<int64_t>(until_ns - now_ns(), 0);
    const int ready = ::poll(&polled, 1, static_cast<int>(left_ns / base::kMillisecondNs));
    if (ready >= 0 || errno != EINTR) return ready > 0;
  }
}

// Half a goodbye counts as a whole one: clients that wait for an answer keep both halves open.
bool HttpConnection::is_there() const {
  pollfd polled{.fd = socket_, .events = POLLRDHUP, .revents = 0};
  return ::poll(&polled, 1, 0) == 0;
}

bool HttpConnection::is_readable() const {
  const int64_t left_ns = until_ns_ - now_ns();
  return begin_ < end_ || (left_ns > 0 && wait_for(POLLIN, std::min(silence_ns_, left_ns)));
}

bool HttpConnection::is_writable() const { return wait_for(POLLOUT, silence_ns_) && is_there(); }

ssize_t HttpConnection::receive(char* to, size_t size) {
  while (true) {
    const ssize_t received = ::recv(socket_, to, size, 0);
    if (received >= 0 || errno != EINTR) return received;
  }
}

ssize_t HttpConnection::read(char* to, size_t size) {
  if (bytes_left_ == 0) {
    refused_ = true;
    return -1;
  }
  if (begin_ == end_) {
    if (!is_readable()) return -1;
    const ssize_t received = receive(buffer_.data(), buffer_.size());
    if (received <= 0) return received;
    begin_ = 0;
    end_ = static_cast<size_t>(received);
  }
  const size_t taken = std::min({size, end_ - begin_, bytes_left_});
  std::memcpy(to, buffer_.data() + begin_, taken);
  begin_ += taken;
  bytes_left_ -= taken;
  return static_cast<ssize_t>(taken);
}

ssize_t HttpConnection::write(const char* from, size_t size) {
  if (!is_writable()) return -1;
  while (true) {
    const ssize_t sent = ::send(socket_, from, size, MSG_NOSIGNAL);
    if (sent >= 0 || errno != EINTR) return sent;
  }
}

void HttpConnection::get_remote_ip_and_port(std::string&, int&) const {}
void HttpConnection::get_local_ip_and_port(std::string&, int&) const {}

void HttpConnection::end() {
  ::shutdown(socket_, SHUT_WR);
  const int64_t until_ns = now_ns() + kGoodbyeNs;
  for (size_t heard = 0; heard < kGoodbyeBytesMax;) {
    if (!wait_for(POLLIN, refused_ ? until_ns - now_ns() : 0)) return;
    const ssize_t received = receive(buffer_.data(), buffer_.size());
    if (received <= 0) return;
    heard += static_cast<size_t>(received);
    refused_ = true;
  }
}

}  // namespace agora::serve
