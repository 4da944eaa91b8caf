#include "agora/sim/host_role.h"

#include "agora/base/check.h"

namespace agora::sim {

HostRole::HostRole(Process& process, const swarm::SwarmSpec& spec, const moe::Compute& compute,
                   const HostSettings& settings)
    : compute_(process.loop), executor_(compute_) {
  auto store = swarm::ExpertStore::create(compute, spec, settings.ledger);
  AGORA_CHECK(store.ok());  // the world has checked the specification
  store_ = *std::move(store);
  experts_ = std::make_unique<SimExperts>(*store_, compute_, executor_, settings.times, process.teller);
  swarm::HostOptions options = settings.options;
  options.seed = process.rng.next_u64();
  swarm::HostConfig service = settings.service;
  service.seed = process.rng.next_u64();
  service_ = std::make_unique<swarm::HostService>(*process.transport, executor_, *experts_, spec, service);
  host_ = std::make_unique<swarm::Host>(*process.loop, executor_, *process.loop, *process.transport,
                                        *process.directory, *experts_, spec, options);
}

HostRole::~HostRole() = default;

void HostRole::describe(swarm::PeerState& state) const {
  host_->describe(state);
  state.load_us = service_->load_us();
}

}  // namespace agora::sim
