// A simulated host: production's Host and HostService over experts whose work takes virtual time.
//
//   world.add_host({.options = {.experts_max = 32}, .times = {.row_ns = 20'000}});
//
// One thread, the world's.
#pragma once

#include <memory>

#include "agora/sim/peer.h"
#include "agora/swarm/host/host.h"
#include "agora/swarm/host/host_service.h"

namespace agora::sim {

struct HostSettings {
  swarm::HostOptions options = {};
  swarm::HostConfig service = {};
  WorkTimes times = {};
  swarm::LedgerLimits ledger = {};
};

class HostRole final : public PeerRole {
 public:
  // settings may change under way: times.
  HostRole(Process& process, const swarm::SwarmSpec& spec, const moe::Compute& compute,
           const HostSettings& settings);
  ~HostRole() override;

  void describe(swarm::PeerState& state) const override;
  void leave(std::function<void()> done) override { host_->leave(std::move(done)); }
  HostRole* as_host() override { return this; }

  const swarm::Host& host() const { return *host_; }
  const swarm::HostService& service() const { return *service_; }
  SimExperts& experts() { return *experts_; }
  const ComputeLoop& compute() const { return compute_; }

 private:
  ComputeLoop compute_;
  swarm::Executor executor_;
  std::unique_ptr<swarm::ExpertStore> store_;
  std::unique_ptr<SimExperts> experts_;
  std::unique_ptr<swarm::Host> host_;
  std::unique_ptr<swarm::HostService> service_;
};

}  // namespace agora::sim
