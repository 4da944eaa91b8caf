// A peer's transport on the simulated network: the same calls, as they would be over real connections.
//
//   auto switchboard = std::make_shared<Switchboard>(world, network);
//   SimTransport transport(switchboard, loop, id, endpoint, place);
//   transport.crash(Death::refused);    // as kill -9 does: nothing is said, what is open breaks
//
// What a caller sees of a peer that is not there: where its machine lives the connection is refused, and open
// calls break (Unavailable); where the machine is gone, cut off or frozen there is silence, until the call's
// deadline or until pings have gone unanswered for kSilenceNs. A lost message is silence too. A message that
// comes twice is handled twice by who serves it and once by who called. Passes
// tests/conformance/transport_suite.h. One thread, the world's.
#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "agora/peers/transport/transport.h"
#include "agora/sim/network.h"
#include "agora/sim/peer_loop.h"

namespace agora::sim {

constexpr int64_t kSilenceNs = 10 * kSecondNs;  // TransportLimits::silence_ns_max

enum class Death : uint8_t {
  refused,  // the process went, its machine lives and says so
  silent,   // the machine went
};

struct SimNode;

// Who listens where: endpoints, the places they are at, and the processes there now.
class Switchboard {
 public:
  Switchboard(base::VirtualLoop& world, Network& network) : world_(world), network_(network) {}

  base::VirtualLoop& world() { return world_; }
  Network& network() { return network_; }

 private:
  friend class SimTransport;
  friend struct SimNode;
  struct Address {
    Place place;
    std::shared_ptr<SimNode> node;  // null: nobody listens
    Death nobody = Death::refused;  // why
  };
  base::VirtualLoop& world_;
  Network& network_;
  std::map<peers::Endpoint, Address> addresses_;
};

class SimTransport final : public peers::Transport {
 public:
  // Another transport that was at the endpoint has been stopped or has crashed.
  SimTransport(std::shared_ptr<Switchboard> switchboard, std::shared_ptr<PeerLoop> loop,
               const peers::PeerId& self, const peers::Endpoint& endpoint, Place place);
  ~SimTransport() override;

  const peers::PeerId& self() const override;
  const peers::Endpoint& endpoint() const override;
  using Transport::call;
  peers::CallId call(const peers::CallSettings& settings, peers::Payload payload,
                     peers::CallEvents events) override;
  void cancel(peers::CallId call) override;
  void serve(peers::Method method, peers::CallHandler handler) override;
  void stop() override;
  peers::TransportCounters counters() const override;

  // Instead of stop().
  void crash(Death death);

 private:
  void end(Death death, bool breaks);

  std::shared_ptr<Switchboard> switchboard_;
  std::shared_ptr<SimNode> node_;
};

}  // namespace agora::sim
