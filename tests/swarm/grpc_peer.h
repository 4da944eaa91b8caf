// A gRPC transport on any free port of this machine: MakeTransport for HostsInProcess. Tests only.
#pragma once

#include <memory>
#include <utility>

#include "agora/base/check.h"
#include "agora/peers/transport/grpc/grpc_transport.h"

namespace agora::tests {

inline std::unique_ptr<peers::Transport> start_grpc_peer(const peers::Identity& identity) {
  peers::GrpcTransportConfig config;
  config.listen = {"127.0.0.1", 0};
  auto transport = peers::GrpcTransport::start(identity, config);
  AGORA_CHECK(transport.ok());
  return *std::move(transport);
}

}  // namespace agora::tests
