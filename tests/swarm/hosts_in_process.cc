#include "tests/swarm/hosts_in_process.h"

#include <set>

#include "agora/base/check.h"
#include "agora/kernels/cpu_features.h"
#include "agora/kernels/table.h"

namespace agora::tests {

struct HostsInProcess::Host {
  base::ThreadPool pool{1};
  kernels::Workspace workspace;
  std::unique_ptr<swarm::ExpertStore> store;
  std::unique_ptr<base::ThreadLoop> compute = std::make_unique<base::ThreadLoop>("test-compute");
  std::unique_ptr<swarm::Executor> executor = std::make_unique<swarm::Executor>(*compute);
  std::unique_ptr<peers::Transport> transport;
  std::unique_ptr<swarm::HostService> service;
  peers::PeerId id;
};

std::vector<std::vector<int32_t>> contiguous(int64_t experts, int64_t hosts) {
  std::vector<std::vector<int32_t>> held(static_cast<size_t>(hosts));
  for (int64_t e = 0; e < experts; ++e) held[e * hosts / experts].push_back(static_cast<int32_t>(e));
  return held;
}

HostsInProcess::HostsInProcess(const swarm::SwarmSpec& spec, const HostsConfig& config)
    : spec_(spec), config_(config), network_(std::make_shared<peers::LoopbackNetwork>(loop_)) {
  std::set<int32_t> led;
  for (const std::vector<int32_t>& held : config.held) {
    auto host = std::make_unique<Host>();
    const kernels::Compute compute{&kernels::best_table(kernels::cpu_features()), &host->pool,
                                   kernels::Precision::f32, &host->workspace};
    auto store = swarm::ExpertStore::create(compute, spec);
    AGORA_CHECK(store.ok());
    host->store = *std::move(store);
    swarm::PeerState state{.host = true};
    for (int32_t l = 0; l < spec.layers; ++l) {
      for (const int32_t e : held) {
        const swarm::ExpertName name{LayerId(l), ExpertId(e)};
        const bool leads = !led.contains(e);
        host->store->adopt(name);
        host->store->set_role(name, leads ? swarm::Role::leader : swarm::Role::follower, 1);
        state.held.push_back({.layer = name.layer, .first = e, .count = 1, .leads = leads});
      }
    }
    led.insert(held.begin(), held.end());
    host->store->experts().initialise(config.weights);
    host->transport = make_transport();
    host->service = std::make_unique<swarm::HostService>(*host->transport, *host->executor, *host->store,
                                                         spec, config.host);
    host->id = host->transport->self();
    directory_.say(host->id, host->transport->endpoint(), state);
    hosts_.push_back(std::move(host));
  }
}

HostsInProcess::~HostsInProcess() {
  for (const auto& gate : gates_) gate->transport->stop();
  for (size_t i = 0; i < hosts_.size(); ++i) kill(i);
}

std::unique_ptr<peers::Transport> HostsInProcess::make_transport() {
  const auto identity = peers::Identity::from_seed(++peers_);
  if (config_.transport) return config_.transport(identity);
  return std::make_unique<peers::LoopbackTransport>(network_, identity.id(),
                                                    peers::Endpoint{"loop", static_cast<uint16_t>(peers_)});
}

swarm::RemoteExperts& HostsInProcess::gate(const swarm::RemoteExpertsConfig& config) {
  auto gate = std::make_unique<Gate>();
  gate->transport = make_transport();
  gate->finder = std::make_unique<swarm::Finder>(loop_, directory_, spec_, Rng(peers_));
  AGORA_CHECK(
      gate->finder->wait_until_covered(spec_.layers, spec_.experts, loop_.now_ns() + 10 * base::kSecondNs)
          .ok());
  gate->experts =
      std::make_unique<swarm::RemoteExperts>(loop_, *gate->transport, *gate->finder, spec_, config);
  gates_.push_back(std::move(gate));
  return *gates_.back()->experts;
}

void HostsInProcess::kill(size_t host) {
  Host& h = *hosts_[host];
  if (h.service == nullptr) return;
  h.transport->stop();
  h.service.reset();
  h.transport.reset();
  h.compute->stop();
}

void HostsInProcess::forget(size_t host) { directory_.gone(id(host)); }

swarm::ExpertStore& HostsInProcess::store(size_t host) { return *hosts_[host]->store; }
swarm::HostService& HostsInProcess::service(size_t host) { return *hosts_[host]->service; }
const peers::PeerId& HostsInProcess::id(size_t host) const { return hosts_[host]->id; }

}  // namespace agora::tests
