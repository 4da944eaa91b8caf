// Hosts, and gates that ask them, in one process: over loopback, or over any transport.
//
//   HostsInProcess swarm(spec, {.held = contiguous(6, 4), .weights = Rng(seed)});
//   RemoteExperts& experts = swarm.gate({.rows = RowDtype::f32});
//   swarm.kill(2);
//
// Host i is the leader of the experts in held[i], in every layer; an expert that several hold is led by the
// first. Tests only. One thread; the hosts have their own.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "agora/base/thread_loop.h"
#include "agora/kernels/workspace.h"
#include "agora/peers/identity/identity.h"
#include "agora/peers/transport/loopback.h"
#include "agora/swarm/finder/finder.h"
#include "agora/swarm/host/executor.h"
#include "agora/swarm/host/expert_store.h"
#include "agora/swarm/host/host_service.h"
#include "agora/swarm/remote_experts.h"

#include "tests/swarm/fixed_directory.h"

namespace agora::tests {

using MakeTransport = std::function<std::unique_ptr<peers::Transport>(const peers::Identity&)>;

struct HostsConfig {
  std::vector<std::vector<int32_t>> held;  // [hosts] experts
  MakeTransport transport;                 // empty: loopback
  Rng weights{1};                          // forked by the parameters' names
  swarm::HostConfig host;
};

// Expert e at host e * hosts / experts: the parts of moe::SumOrder.
std::vector<std::vector<int32_t>> contiguous(int64_t experts, int64_t hosts);

class HostsInProcess {
 public:
  HostsInProcess(const swarm::SwarmSpec& spec, const HostsConfig& config);
  ~HostsInProcess();

  // Another gate, as another peer. Lives as long as this.
  swarm::RemoteExperts& gate(const swarm::RemoteExpertsConfig& config);
  // The host stops in whatever it is doing. The directory goes on praising it until it is told.
  void kill(size_t host);
  void forget(size_t host);  // tells the directory

  swarm::ExpertStore& store(size_t host);
  swarm::HostService& service(size_t host);
  peers::Transport& gate_transport() { return *gates_.back()->transport; }
  const peers::PeerId& id(size_t host) const;
  base::Loop& loop() { return loop_; }
  FixedDirectory& directory() { return directory_; }
  // Of a further peer, who stops it.
  std::unique_ptr<peers::Transport> make_transport();

 private:
  struct Host;
  struct Gate {
    std::unique_ptr<peers::Transport> transport;
    std::unique_ptr<swarm::Finder> finder;
    std::unique_ptr<swarm::RemoteExperts> experts;
  };

  swarm::SwarmSpec spec_;
  HostsConfig config_;
  uint64_t peers_ = 0;
  base::ThreadLoop loop_{"test-loop"};
  std::shared_ptr<peers::LoopbackNetwork> network_;
  FixedDirectory directory_;
  std::vector<std::unique_ptr<Host>> hosts_;
  std::vector<std::unique_ptr<Gate>> gates_;
};

}  // namespace agora::tests
