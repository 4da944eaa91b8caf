#include "agora/peers/endpoint.h"

#include <charconv>

#include "agora/base/text.h"

namespace agora::peers {
namespace {

constexpr size_t kHostBytesMax = 253;  // of a DNS name

// Letters, digits and what IPv4, IPv6 with its zone, and names are made of: nothing else reaches a resolver.
bool is_host(std::string_view host, bool bracketed) {
  if (host.empty() || host.size() > kHostBytesMax) return false;
  for (const char c : host) {
    const bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!word && c != '.' && c != '-' && c != '_' && !(bracketed && (c == ':' || c == '%'))) return false;
  }
  return true;
}

Status not_an_endpoint(std::string_view text) {
  return absl::InvalidArgumentError(
      base::concat("expected HOST:PORT, as 192.168.1.5:4700 or [fe80::1]:4700, not ", base::in_quotes(text)));
}

}  // namespace

std::string Endpoint::text() const {
  const bool v6 = host.find(':') != std::string::npos;
  return base::concat(v6 ? "[" : "", host, v6 ? "]:" : ":", port);
}

StatusOr<Endpoint> parse_endpoint(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return not_an_endpoint(text);
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (!is_host(host, bracketed)) return not_an_endpoint(text);

  Endpoint endpoint{.host = std::string(host), .port = 0};
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
  if (error != std::errc() || end != port.data() + port.size() || endpoint.port == 0) {
    return not_an_endpoint(text);
  }
  return endpoint;
}

}  // namespace agora::peers
