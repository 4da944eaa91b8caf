// Calls over gRPC: mutual TLS with the peers' own keys, one long-lived stream between two peers, our frames.
//
//   AGORA_ASSIGN_OR_RETURN(std::unique_ptr<GrpcTransport> transport,
//                          GrpcTransport::start(identity, {.listen = {"0.0.0.0", 4700}}));
//
// The first call to a peer dials it: TCP, TLS and hello take three round trips; from then on both sides use
// the stream. A call is one frame of 32 bytes and its payload each way, no round trip of its own; a payload
// of more than kChunkBytes goes in chunks, between which frames of other calls pass. Two peers that dial
// each other at once keep one of the two streams. Time is RealClock's.
//
// Handlers and events run on the transport's one gRPC thread, which also decrypts what comes; requests are
// encrypted and written by the thread that calls. Deadlines run on the thread of the port. Any thread.
// stop() and the destructor are not called from a handler or an event.
#pragma once

#include <memory>
#include <optional>

#include "agora/peers/identity/identity.h"
#include "agora/peers/transport/limits.h"
#include "agora/peers/transport/swarm_key.h"
#include "agora/peers/transport/transport.h"

namespace agora::peers {

struct GrpcTransportConfig {
  Endpoint listen;                    // port 0: any free one
  std::optional<SwarmKey> swarm_key;  // a private swarm
  TransportLimits limits;
};

// For the whole process; main() calls it before it starts a transport. gRPC writes a line to standard error
// for every handshake that fails, which is for strangers to cause: it is silenced. And the check of the order
// of locks that Debian's abseil brings along is turned off: it takes a global lock for every lock of gRPC's.
// Sets GRPC_EXPERIMENTS in the environment if it is not there: before other threads read that.
void prepare_grpc();

class GrpcTransport final : public Transport {
 public:
  // Unavailable: the port is taken, or not ours to open.
  static StatusOr<std::unique_ptr<GrpcTransport>> start(const Identity& identity,
                                                        const GrpcTransportConfig& config);
  ~GrpcTransport() override;

  const PeerId& self() const override;
  const Endpoint& endpoint() const override;
  using Transport::call;
  CallId call(const CallSettings& settings, Payload payload, CallEvents events) override;
  void cancel(CallId call) override;
  void serve(Method method, CallHandler handler) override;
  void stop() override;
  TransportCounters counters() const override;

 private:
  class Impl;
  explicit GrpcTransport(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace agora::peers
