#include "agora/peers/ports.h"

#include <utility>
#include <vector>

#include "agora/base/text.h"
#include "agora/peers/directory/libtorrent_dht.h"

namespace agora::peers {
namespace {

constexpr size_t kTriesMax = 16;

}  // namespace

StatusOr<Ports> open_ports(base::Loop& loop, const Endpoint& listen,
                           const std::function<StatusOr<std::unique_ptr<Transport>>()>& make_transport) {
  const size_t tries = listen.port == 0 ? kTriesMax : 1;
  std::vector<std::unique_ptr<Transport>> refused;  // keep their ports, so that none comes twice
  for (;;) {
    AGORA_ASSIGN_OR_RETURN(std::unique_ptr<Transport> transport, make_transport());
    const uint16_t port = transport->endpoint().port;
    StatusOr<std::unique_ptr<Dht>> dht = start_libtorrent_dht(loop, {listen.host, port});
    if (dht.ok()) return Ports{std::move(transport), *std::move(dht)};
    refused.push_back(std::move(transport));
    if (absl::IsUnavailable(dht.status()) && refused.size() < tries) continue;
    return base::about(
        base::concat(Endpoint{listen.host, port}.text(), ": the directory's port is ", dht_port(port)),
        dht.status());
  }
}

}  // namespace agora::peers
