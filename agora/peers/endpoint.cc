#include "agora/peers/endpoint.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>

#include "agora/base/text.h"
#include <arpa/inet.h>
#include <netinet/in.h>

namespace agora::peers {
namespace {

Status not_an_endpoint(std::string_view text) {
  return absl::InvalidArgumentError(
      base::concat("expected HOST:PORT, as 192.168.1.5:4700 or [fe80::1]:4700, not ", base::in_quotes(text)));
}

}  // namespace

bool is_host(std::string_view host) {
  const auto fits = [](char c) {
    const bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return word || c == '.' || c == ':' || c == '-' || c == '%' || c == '_';
  };
  return !host.empty() && host.size() <= kHostBytesMax && std::ranges::all_of(host, fits);
}

bool is_address(std::string_view host) {
  std::array<std::byte, sizeof(in6_addr)> bytes;
  const std::string v6(host.substr(0, host.find('%'))), v4(host);
  return is_host(host) && (::inet_pton(AF_INET6, v6.c_str(), bytes.data()) == 1 ||
                           ::inet_pton(AF_INET, v4.c_str(), bytes.data()) == 1);
}

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
  const bool is_v6 = host.find_first_of(":%") != std::string_view::npos;
  if (!is_host(host) || (is_v6 && !bracketed)) return not_an_endpoint(text);

  Endpoint endpoint{.host = std::string(host), .port = 0};
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
  if (error != std::errc() || end != port.data() + port.size() || endpoint.port == 0) {
    return not_an_endpoint(text);
  }
  return endpoint;
}

}  // namespace agora::peers
